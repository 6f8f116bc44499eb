#include "autograd/ops.h"

namespace lethe {

Var batchnorm(const Var& x, const Var& gamma, const Var& beta, Tensor& running_mean, Tensor& running_var,
              const Var& residual, const BatchNorm& op) {
    BatchNormSaved saved;
    const Tensor added = residual.defined() ? residual.value() : Tensor();
    Tensor y = backend(x.value()).batchnorm(x.value(), gamma.value(), beta.value(), running_mean, running_var, added,
                                            op, saved);
    std::vector<Var> inputs{x, gamma, beta};
    if (residual.defined()) inputs.push_back(residual);
    return Var::computed(std::move(y), std::move(inputs), [x, gamma, beta, residual, op, saved](detail::Node& node) {
        const bool want_affine = gamma.requires_grad() || beta.requires_grad();
        BatchNormGrads grads =
            backend(node.grad).batchnorm_grad(node.grad, node.value, x.value(), gamma.value(), saved, op,
                                              x.requires_grad(), want_affine, residual.requires_grad());
        if (gamma.requires_grad()) Var::accumulate(gamma, std::move(grads.grad_gamma));
        if (beta.requires_grad()) Var::accumulate(beta, std::move(grads.grad_beta));
        if (residual.requires_grad()) Var::accumulate(residual, std::move(grads.grad_residual));
        if (x.requires_grad()) Var::accumulate(x, std::move(grads.grad_x));
    });
}

}  // namespace lethe
