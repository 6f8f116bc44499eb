#include <algorithm>

#include "cpu/backend.h"
#include "cpu/chunks.h"

namespace lethe {
namespace {

constexpr int64_t rows_per_chunk = 64;  // 200 KiB at 768 features

}  // namespace

Tensor CpuBackend::layer_norm_impl(const Tensor& x, const Tensor& gamma, const Tensor& beta, float eps,
                                   LayerNormSaved& saved) {
    const int64_t rows = x.as_matrix().dim(0), features = gamma.dim(0);
    Tensor y = Tensor::empty(x.shape());
    saved = {Tensor::empty({rows}), Tensor::empty({rows})};
    const float *from = x.data(), *scale = gamma.data(), *shift = beta.data();
    float *to = y.mutable_data(), *mean = saved.mean.mutable_data(), *inv_std = saved.inv_std.mutable_data();
    for_chunks(rows, rows_per_chunk, [&](int64_t begin, int64_t end) {
        kernels_.layer_norm(from + begin * features, scale, shift, eps, to + begin * features, mean + begin,
                            inv_std + begin, end - begin, features);
    });
    return y;
}

LayerNormGrads CpuBackend::layer_norm_grad_impl(const Tensor& grad_y, const Tensor& x, const Tensor& gamma,
                                                const LayerNormSaved& saved, bool want_x, bool want_affine) {
    const int64_t rows = saved.mean.dim(0), features = gamma.dim(0), chunks = chunks_of(rows, rows_per_chunk);
    LayerNormGrads grads;
    if (want_x) grads.grad_x = Tensor::empty(x.shape());
    float* grad_x = want_x ? grads.grad_x.mutable_data() : nullptr;
    const Scratch<double> partial(want_affine ? chunks * 2 * features : 1);
    const float *g = grad_y.data(), *xs = x.data(), *scale = gamma.data();
    const float *mean = saved.mean.data(), *inv_std = saved.inv_std.data();
    for_chunks(rows, rows_per_chunk, [&](int64_t begin, int64_t end) {
        const int64_t at = begin * features, count = end - begin;
        if (want_x)
            kernels_.layer_norm_grad_x(g + at, xs + at, scale, mean + begin, inv_std + begin, grad_x + at, count,
                                       features);
        if (!want_affine) return;
        double* sums = partial.data() + begin / rows_per_chunk * 2 * features;
        std::fill_n(sums, 2 * features, 0.0);
        kernels_.layer_norm_grad_sums(g + at, xs + at, mean + begin, inv_std + begin, count, features, sums,
                                      sums + features);
    });
    if (!want_affine) return grads;
    grads.grad_gamma = Tensor::empty({features});
    grads.grad_beta = Tensor::empty({features});
    float *of_gamma = grads.grad_gamma.mutable_data(), *of_beta = grads.grad_beta.mutable_data();
    for (int64_t f = 0; f < features; ++f) {
        double sum = 0.0, product = 0.0;
        for (int64_t c = 0; c < chunks; ++c) {
            sum += partial[c * 2 * features + f];
            product += partial[(c * 2 + 1) * features + f];
        }
        of_beta[f] = static_cast<float>(sum);
        of_gamma[f] = static_cast<float>(product);
    }
    return grads;
}

}  // namespace lethe
