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
        Backend& device = backend(node.grad);
        const bool want_affine = gamma.requires_grad() || beta.requires_grad();
        const bool per_sample = want_affine && PerSampleMagnitudes::wanted();
        BatchNormGrads grads =
            device.batchnorm_grad(node.grad, node.value, x.value(), gamma.value(), saved, op, x.requires_grad(),
                                  want_affine && !per_sample, residual.requires_grad());
        if (per_sample) {
            BatchNormGrads sums = device.batchnorm_grad_abs(node.grad, node.value, x.value(), saved, op);
            grads.grad_gamma = std::move(sums.grad_gamma);
            grads.grad_beta = std::move(sums.grad_beta);
        }
        if (gamma.requires_grad()) Var::accumulate(gamma, std::move(grads.grad_gamma));
        if (beta.requires_grad()) Var::accumulate(beta, std::move(grads.grad_beta));
        if (residual.requires_grad()) Var::accumulate(residual, std::move(grads.grad_residual));
        if (x.requires_grad()) Var::accumulate(x, std::move(grads.grad_x));
    });
}

}  // namespace lethe
