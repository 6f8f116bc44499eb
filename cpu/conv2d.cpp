#include "cpu/backend.h"
#include "cpu/channels.h"

namespace lethe {
namespace {

// One image per call: a result then depends on its image alone, whatever batch it came in.
ConvKey image_key(ConvKind kind, const Shape& x, const Shape& w, const Conv2d& op) {
    return {kind, 1, x[1], x[2], x[3], w[0], w[2], w[3], op.stride, op.pad};
}

int64_t image_size(const Shape& shape) { return shape[1] * shape[2] * shape[3]; }

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
    Tensor y = Tensor::empty(op.output_shape(x.shape(), w.shape()));
    if (y.numel() == 0) return y;
    const ConvPlan& plan = plans_.get(image_key(ConvKind::forward, x.shape(), w.shape(), op));
    const float* packed = packed_.get(w, &plan, plan.packed_count(),
                                      [&](const float* from, float* to) { plan.pack(from, to); });
    const int64_t in = image_size(x.shape()), out = image_size(y.shape()), period = period_of(y.dim(1));
    const bool epilogue = bias.defined() || residual.defined() || relu;
    const Pattern zero(1, period, [](int64_t) { return 0.0f; }), one(1, period, [](int64_t) { return 1.0f; });
    const Pattern shift(y.dim(1), period, [&](int64_t k) { return bias.defined() ? bias.data()[k] : 0.0f; });
    const simd::ChannelAffine affine{zero.data(), one.data(), shift.data(), period, relu};
    const float *from = x.data(), *add = residual.defined() ? residual.data() : nullptr;
    float* to = y.mutable_data();
    for_chunks(x.dim(0), images_per_chunk, [&](int64_t begin, int64_t end) {
        for (int64_t n = begin; n < end; ++n) {
            plan.run(from + n * in, packed, to + n * out);
            if (epilogue)
                kernels_.channel_affine(to + n * out, add ? add + n * out : nullptr, to + n * out, out, affine);
        }
    });
    return y;
}

Tensor CpuBackend::conv2d_grad_x_impl(const Tensor& grad_y, const Tensor& w, const Shape& x, const Conv2d& op) {
    Tensor grad_x = Tensor::empty(x);
    if (grad_x.numel() == 0) return grad_x;
    const ConvPlan& plan = plans_.get(image_key(ConvKind::grad_x, x, w.shape(), op));
    const float* packed = packed_.get(w, &plan, plan.packed_count(),
                                      [&](const float* from, float* to) { plan.pack(from, to); });
    const int64_t in = image_size(x), out = image_size(grad_y.shape());
    const float* from = grad_y.data();
    float* to = grad_x.mutable_data();
    for_chunks(x[0], images_per_chunk, [&](int64_t begin, int64_t end) {
        for (int64_t n = begin; n < end; ++n) plan.run(from + n * out, packed, to + n * in);
    });
    return grad_x;
}

Tensor CpuBackend::conv2d_grad_w_impl(const Tensor& grad_y, const Tensor& x, const Shape& w, const Conv2d& op) {
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
