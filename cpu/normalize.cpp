#include "cpu/backend.h"
#include "cpu/channels.h"

namespace lethe {

Tensor CpuBackend::normalize_impl(const Tensor& x, const Tensor& mean, const Tensor& std) {
    const int64_t channels = x.dim(1), period = period_of(channels);
    const Pattern means(channels, period, [&](int64_t c) { return mean.data()[c]; });
    const Pattern scale(channels, period, [&](int64_t c) { return 1.0f / std.data()[c]; });
    const Pattern zero(1, period, [](int64_t) { return 0.0f; });
    const simd::ChannelAffine affine{means.data(), scale.data(), zero.data(), period, false};
    Tensor y = Tensor::empty(x.shape());
    const float* in = x.data();
    float* out = y.mutable_data();
    for_chunks(x.numel(), channel_chunk(period), [&](int64_t begin, int64_t end) {
        kernels_.channel_affine(in + begin, nullptr, out + begin, end - begin, affine);
    });
    return y;
}

Tensor CpuBackend::normalize_grad_impl(const Tensor& grad_y, const Tensor& std) {
    return normalize_impl(grad_y, Tensor::zeros(std.shape()), std);
}

}  // namespace lethe
