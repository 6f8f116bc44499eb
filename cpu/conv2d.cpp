#include "cpu/backend.h"
#include "cpu/channels.h"
#include "cpu/conv2d_pack.h"

namespace lethe {
namespace {

// One image per call: a result then depends on its image alone, whatever batch it came in.
ConvKey image_key(ConvKind kind, const Shape& x, const Shape& w, const Conv2d& op) {
    return {kind, 1, x[1], x[2], x[3], w[0], w[2], w[3], op.stride, op.pad, op.groups};
}

int64_t image_size(const Shape& shape) { return shape[1] * shape[2] * shape[3]; }

bool same_padding(const Shape& w, const Conv2d& op) {
    return w[2] == w[3] && ((w[2] == 3 && op.pad == 1) || (w[2] == 1 && op.pad == 0));
}

// Which convolutions the own kernels do: see cpu/simd.h.
bool own_forward(const simd::Kernels& kernels, const Shape& w, const Conv2d& op) {
    return kernels.conv_wide != nullptr && same_padding(w, op) && op.groups == 1 && op.stride <= 2 && w[0] % 16 == 0;
}

bool own_grad_x_wide(const simd::Kernels& kernels, const Shape& w, const Conv2d& op) {
    return kernels.conv_wide != nullptr && same_padding(w, op) && op.groups == 1 && op.stride == 1 && w[1] % 16 == 0;
}

// Winograd's transforms and a matrix of patches pay off where each number meets many channels.
bool many_channels(const Shape& w, const Conv2d& op) {
    constexpr int64_t many = 64;
    return op.groups == 1 && same_padding(w, op) && w[0] % 16 == 0 && w[1] % 16 == 0 && w[0] >= many && w[1] >= many;
}

bool winograd_suits(const simd::Kernels& kernels, const Shape& w, const Conv2d& op) {
    return kernels.row_product != nullptr && many_channels(w, op) && w[2] == 3 && op.stride == 1;
}

bool rows_suit(const simd::Kernels& kernels, const Shape& w, const Conv2d& op) {
    return kernels.row_product != nullptr && many_channels(w, op) && (w[2] == 1 || op.stride > 1);
}

bool own_grad_x_narrow(const simd::Kernels& kernels, const Shape& x, const Shape& w, const Conv2d& op) {
    return kernels.conv_narrow != nullptr && same_padding(w, op) && op.groups == 1 && op.stride == 1 && w[2] == 3 &&
           w[0] % 16 == 0 && w[1] <= 4 && x[3] >= 4;
}

// A filter per channel, which oneDNN 2.6 does slowly where images are channels-last.
bool depthwise(const Shape& w, const Conv2d& op) {
    return op.groups > 1 && op.groups == w[0] && w[1] == 1 && w[2] == w[3];
}

// Images per partial gradient. Few partial sums when the weights are large: each is as large as the weights.
int64_t grad_w_chunk(int64_t images, int64_t weights) {
    constexpr int64_t large = 1 << 18, few = 4;
    return weights < large ? images_per_chunk : std::max(images_per_chunk, chunks_of(images, few));
}

}  // namespace

Tensor CpuBackend::conv2d_impl(const Tensor& x, const Tensor& w, const Conv2d& op) {
    return conv2d_fused_impl(x, w, Tensor(), Tensor(), false, op);
}

// bias may be undefined here.
Tensor CpuBackend::conv2d_fused_impl(const Tensor& x, const Tensor& w, const Tensor& bias, const Tensor& residual,
                                     bool relu, const Conv2d& op) {
    if (depthwise(w.shape(), op)) return depthwise_conv2d(x, w, bias, residual, relu, op);
    Tensor y = Tensor::empty(op.output_shape(x.shape(), w.shape()));
    if (y.numel() == 0) return y;
    const int64_t in = image_size(x.shape()), out = image_size(y.shape());
    const float *from = x.data(), *shift = bias.defined() ? bias.data() : nullptr;
    const float* add = residual.defined() ? residual.data() : nullptr;
    float* to = y.mutable_data();
    const simd::ConvImage all{x.dim(2), x.dim(3),  x.dim(1), y.dim(2), y.dim(3), y.dim(1),
                              w.dim(2), op.stride, shift,    add,      relu};
    if (winograd_suits(kernels_, w.shape(), op)) {
        winograd(from, packed_weights(w, Packing::winograd), to, x.dim(0), all);
        return y;
    }
    if (rows_suit(kernels_, w.shape(), op)) {
        rows_conv2d(from, packed_weights(w, Packing::rows), to, x.dim(0), all);
        return y;
    }
    if (own_forward(kernels_, w.shape(), op)) {
        const float* packed = packed_weights(w, Packing::wide);
        for_images(x.dim(0), [&](int64_t n) {
            simd::ConvImage image = all;
            image.residual = add == nullptr ? nullptr : add + n * out;
            kernels_.conv_wide(from + n * in, packed, to + n * out, image);
        });
        return y;
    }
    const ConvPlan& plan = plans_.get(image_key(ConvKind::forward, x.shape(), w.shape(), op));
    const float* packed = packed_weights(w, plan);
    if (shift == nullptr && add == nullptr && !relu) {
        for_images(x.dim(0), [&](int64_t n) { plan.run(from + n * in, packed, to + n * out); });
        return y;
    }
    const int64_t period = period_of(y.dim(1));
    const Pattern zeros(1, period, [](int64_t) { return 0.0f; }), ones(1, period, [](int64_t) { return 1.0f; });
    const Pattern shifts(y.dim(1), period, [&](int64_t k) { return shift == nullptr ? 0.0f : shift[k]; });
    const simd::ChannelAffine affine{zeros.data(), ones.data(), shifts.data(), period, relu};
    for_images(x.dim(0), [&](int64_t n) {
        plan.run(from + n * in, packed, to + n * out);
        kernels_.channel_affine(to + n * out, add == nullptr ? nullptr : add + n * out, to + n * out, out, affine);
    });
    return y;
}

// With stride 1 the gradient for x is itself a convolution, of grad_y with the turned kernel.
Tensor CpuBackend::conv2d_grad_x_impl(const Tensor& grad_y, const Tensor& w, const Shape& x, const Conv2d& op) {
    if (depthwise(w.shape(), op)) return depthwise_grad_x(grad_y, w, x, op);
    Tensor grad_x = Tensor::empty(x);
    if (grad_x.numel() == 0) return grad_x;
    const int64_t in = image_size(x), out = image_size(grad_y.shape());
    const float* from = grad_y.data();
    float* to = grad_x.mutable_data();
    if (winograd_suits(kernels_, w.shape(), op)) {
        winograd(from, packed_weights(w, Packing::winograd_flipped), to, x[0],
                 {x[2], x[3], grad_y.dim(1), x[2], x[3], x[1], w.dim(2), 1, nullptr, nullptr, false});
        return grad_x;
    }
    if (rows_suit(kernels_, w.shape(), op)) {
        rows_grad_x(from, packed_weights(w, Packing::rows_transposed), to, x[0],
                    {x[2], x[3], x[1], grad_y.dim(2), grad_y.dim(3), grad_y.dim(1), w.dim(2), op.stride, nullptr,
                     nullptr, false});
        return grad_x;
    }
    const bool wide = own_grad_x_wide(kernels_, w.shape(), op);
    if (wide || own_grad_x_narrow(kernels_, x, w.shape(), op)) {
        const float* packed = packed_weights(w, wide ? Packing::wide_flipped : Packing::narrow_flipped);
        const simd::ConvImage image{x[2], x[3], grad_y.dim(1), x[2], x[3], x[1], w.dim(2), 1, nullptr, nullptr, false};
        const auto kernel = wide ? kernels_.conv_wide : kernels_.conv_narrow;
        for_images(x[0], [&](int64_t n) { kernel(from + n * out, packed, to + n * in, image); });
        return grad_x;
    }
    const ConvPlan& plan = plans_.get(image_key(ConvKind::grad_x, x, w.shape(), op));
    const float* packed = packed_weights(w, plan);
    for_images(x[0], [&](int64_t n) { plan.run(from + n * out, packed, to + n * in); });
    return grad_x;
}

const float* CpuBackend::packed_weights(const Tensor& w, Packing packing) {
    return packed_.get(w, layout_of(packing), packed_count(packing, w.shape()),
                       [&](const float* from, float* to) { pack_weights(packing, w.shape(), from, to); });
}

const float* CpuBackend::packed_weights(const Tensor& w, const ConvPlan& plan) {
    return packed_.get(w, &plan, plan.packed_count(), [&](const float* from, float* to) { plan.pack(from, to); });
}

Tensor CpuBackend::conv2d_grad_w_impl(const Tensor& grad_y, const Tensor& x, const Shape& w, const Conv2d& op) {
    if (depthwise(w, op)) return depthwise_grad_w(grad_y, x, w, op);
    const int64_t images = x.dim(0), chunk = grad_w_chunk(images, w.numel()), chunks = chunks_of(images, chunk);
    if (images == 0 || w.numel() == 0) return Tensor::zeros(w);
    ConvKey key = image_key(ConvKind::grad_w, x.shape(), w, op);
    const auto plan_for = [&](int64_t count) -> const ConvPlan& {
        key.images = count;
        return plans_.get(key);
    };
    const ConvPlan& whole = plan_for(std::min(chunk, images));
    const int64_t rest = images % chunk;
    const ConvPlan& last = rest == 0 ? whole : plan_for(rest);
    Tensor grad_w = Tensor::empty(w);
    float* result = grad_w.mutable_data();
    // Plans for different image counts may pack differently, so partial gradients are kept in plain order.
    const Scratch<float> partial(chunks > 1 ? chunks * w.numel() : 1);
    const int64_t in = image_size(x.shape()), out = image_size(grad_y.shape());
    const float *xs = x.data(), *gs = grad_y.data();
    parallel_for(chunks, [&](int64_t i) {
        const ConvPlan& plan = i + 1 == chunks ? last : whole;
        const Scratch<float> packed(plan.packed_count());
        plan.run(xs + i * chunk * in, gs + i * chunk * out, packed.data());
        plan.unpack(packed.data(), chunks > 1 ? partial.data() + i * w.numel() : result);
    });
    if (chunks == 1) return grad_w;
    for_chunks(w.numel(), elements_per_chunk, [&](int64_t begin, int64_t end) {
        std::copy(partial.data() + begin, partial.data() + end, result + begin);
        for (int64_t i = 1; i < chunks; ++i)
            kernels_.axpy(1.0f, partial.data() + i * w.numel() + begin, result + begin, end - begin);
    });
    return grad_w;
}

}  // namespace lethe
