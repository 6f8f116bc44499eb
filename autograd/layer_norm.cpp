#include "autograd/ops.h"

namespace lethe {
namespace {

// Sample by sample: rows of one sample share their gradients.
LayerNormGrads magnitudes(const Tensor& grad_y, const Tensor& x, const Tensor& gamma, const LayerNormSaved& saved) {
    Backend& device = backend(grad_y);
    const int64_t each = x.rank() == 3 ? x.dim(1) : 1;
    LayerNormGrads total;
    total.grad_gamma = Tensor::zeros(gamma.shape(), DType::float32, gamma.device());
    total.grad_beta = Tensor::zeros(gamma.shape(), DType::float32, gamma.device());
    for (int64_t n = 0; n < x.dim(0); ++n) {
        const LayerNormSaved own{saved.mean.rows(n * each, (n + 1) * each),
                                 saved.inv_std.rows(n * each, (n + 1) * each)};
        const LayerNormGrads one =
            device.layer_norm_grad(grad_y.rows(n, n + 1), x.rows(n, n + 1), gamma, own, false, true);
        device.abs_accumulate(1.0f, one.grad_gamma, total.grad_gamma);
        device.abs_accumulate(1.0f, one.grad_beta, total.grad_beta);
    }
    return total;
}

}  // namespace

Var layer_norm(const Var& x, const Var& gamma, const Var& beta, float eps) {
    LayerNormSaved saved;
    Tensor y = backend(x.value()).layer_norm(x.value(), gamma.value(), beta.value(), eps, saved);
    return Var::computed(std::move(y), {x, gamma, beta}, [x, gamma, beta, saved](detail::Node& node) {
        const bool want_affine = gamma.requires_grad() || beta.requires_grad();
        const bool per_sample = want_affine && PerSampleMagnitudes::wanted();
        LayerNormGrads grads = backend(node.grad).layer_norm_grad(node.grad, x.value(), gamma.value(), saved,
                                                                  x.requires_grad(), want_affine && !per_sample);
        if (per_sample) {
            LayerNormGrads sums = magnitudes(node.grad, x.value(), gamma.value(), saved);
            grads.grad_gamma = std::move(sums.grad_gamma);
            grads.grad_beta = std::move(sums.grad_beta);
        }
        if (gamma.requires_grad()) Var::accumulate(gamma, std::move(grads.grad_gamma));
        if (beta.requires_grad()) Var::accumulate(beta, std::move(grads.grad_beta));
        if (x.requires_grad()) Var::accumulate(x, std::move(grads.grad_x));
    });
}

}  // namespace lethe
