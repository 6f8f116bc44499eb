// Depthwise convolutions: a filter per channel. Images are the unit of work, as in conv2d.cpp.
#include "cpu/backend.h"
#include "cpu/conv2d_pack.h"

namespace lethe {
namespace {

simd::DepthwiseImage image_of(const Shape& x, const Shape& y, const Shape& w, const Conv2d& op) {
    return {x[2], x[3], y[2], y[3], x[1], w[2], op.stride, op.pad, nullptr, nullptr, false};
}

}  // namespace

Tensor CpuBackend::depthwise_conv2d(const Tensor& x, const Tensor& w, const Tensor& bias, const Tensor& residual,
                                    bool relu, const Conv2d& op) {
    Tensor y = Tensor::empty(op.output_shape(x.shape(), w.shape()));
    if (y.numel() == 0) return y;
    const int64_t in = x.numel() / x.dim(0), out = y.numel() / y.dim(0);
    simd::DepthwiseImage all = image_of(x.shape(), y.shape(), w.shape(), op);
    all.bias = bias.defined() ? bias.data() : nullptr;
    all.relu = relu;
    const float *from = x.data(), *packed = packed_weights(w, Packing::depthwise);
    const float* add = residual.defined() ? residual.data() : nullptr;
    float* to = y.mutable_data();
    for_images(x.dim(0), [&](int64_t n) {
        simd::DepthwiseImage image = all;
        image.residual = add == nullptr ? nullptr : add + n * out;
        kernels_.depthwise(from + n * in, packed, to + n * out, image);
    });
    return y;
}

Tensor CpuBackend::depthwise_grad_x(const Tensor& grad_y, const Tensor& w, const Shape& x, const Conv2d& op) {
    Tensor grad_x = Tensor::empty(x);
    if (grad_x.numel() == 0) return grad_x;
    const int64_t in = grad_x.numel() / x[0], out = grad_y.numel() / x[0];
    const simd::DepthwiseImage image = image_of(x, grad_y.shape(), w.shape(), op);
    const float *from = grad_y.data(), *packed = packed_weights(w, Packing::depthwise);
    float* to = grad_x.mutable_data();
    for_images(x[0], [&](int64_t n) { kernels_.depthwise_grad_x(from + n * out, packed, to + n * in, image); });
    return grad_x;
}

// Each chunk of images adds up its own [taps][channels]; the chunks are added in their order.
Tensor CpuBackend::depthwise_grad_w(const Tensor& grad_y, const Tensor& x, const Shape& w, const Conv2d& op) {
    const int64_t images = x.dim(0), chunks = chunks_of(images, images_per_chunk), size = w.numel();
    if (images == 0 || size == 0) return Tensor::zeros(w);
    const int64_t in = x.numel() / images, out = grad_y.numel() / images;
    const simd::DepthwiseImage image = image_of(x.shape(), grad_y.shape(), w, op);
    const Scratch<float> sums(chunks * size);
    const float *xs = x.data(), *gs = grad_y.data();
    for_chunks(images, images_per_chunk, [&](int64_t begin, int64_t end) {
        float* sum = sums.data() + begin / images_per_chunk * size;
        std::fill(sum, sum + size, 0.0f);
        for (int64_t n = begin; n < end; ++n) kernels_.depthwise_grad_w(gs + n * out, xs + n * in, sum, image);
    });
    Tensor grad_w = Tensor::empty(w);
    float* to = grad_w.mutable_data();
    const int64_t channels = w[0], taps = size / channels;
    for (int64_t i = 1; i < chunks; ++i) kernels_.axpy(1.0f, sums.data() + i * size, sums.data(), size);
    for (int64_t c = 0; c < channels; ++c)
        for (int64_t tap = 0; tap < taps; ++tap) to[c * taps + tap] = sums[tap * channels + c];
    return grad_w;
}

}  // namespace lethe
