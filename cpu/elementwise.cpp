#include "cpu/backend.h"
#include "cpu/chunks.h"

namespace lethe {

Tensor CpuBackend::unary_impl(Unary op, const Tensor& x) {
    Tensor y = Tensor::empty(x.shape());
    const auto loop = kernels_.unary[static_cast<int>(op)];
    const float* in = x.data();
    float* out = y.mutable_data();
    for_chunks(x.numel(), elements_per_chunk,
               [&](int64_t begin, int64_t end) { loop(in + begin, out + begin, end - begin); });
    return y;
}

Tensor CpuBackend::unary_grad_impl(Unary op, const Tensor& grad_y, const Tensor& x, const Tensor& y) {
    Tensor grad = Tensor::empty(grad_y.shape());
    const auto loop = kernels_.unary_grad[static_cast<int>(op)];
    const float *g = grad_y.data(), *xs = x.data(), *ys = y.data();
    float* out = grad.mutable_data();
    for_chunks(grad.numel(), elements_per_chunk,
               [&](int64_t begin, int64_t end) { loop(g + begin, xs + begin, ys + begin, out + begin, end - begin); });
    return grad;
}

Tensor CpuBackend::binary_impl(Binary op, const Tensor& a, const Tensor& b) {
    Tensor y = Tensor::empty(a.shape());
    const auto loop = kernels_.binary[static_cast<int>(op)];
    const float *as = a.data(), *bs = b.data();
    float* out = y.mutable_data();
    for_chunks(y.numel(), elements_per_chunk,
               [&](int64_t begin, int64_t end) { loop(as + begin, bs + begin, out + begin, end - begin); });
    return y;
}

Tensor CpuBackend::binary_grad_impl(Binary op, bool second, const Tensor& grad_y, const Tensor& a, const Tensor& b,
                                    const Tensor& y) {
    Tensor grad = Tensor::empty(grad_y.shape());
    const auto loop = kernels_.binary_grad[static_cast<int>(op)][second ? 1 : 0];
    const float *g = grad_y.data(), *as = a.data(), *bs = b.data(), *ys = y.data();
    float* out = grad.mutable_data();
    for_chunks(grad.numel(), elements_per_chunk, [&](int64_t begin, int64_t end) {
        loop(g + begin, as + begin, bs + begin, ys + begin, out + begin, end - begin);
    });
    return grad;
}

Tensor CpuBackend::scale_impl(const Tensor& x, float factor) {
    Tensor y = Tensor::empty(x.shape());
    const float* in = x.data();
    float* out = y.mutable_data();
    for_chunks(x.numel(), elements_per_chunk,
               [&](int64_t begin, int64_t end) { kernels_.scale(in + begin, factor, out + begin, end - begin); });
    return y;
}

void CpuBackend::axpy_impl(float factor, const Tensor& x, Tensor& y) {
    const float* in = x.data();
    float* out = y.mutable_data();
    for_chunks(x.numel(), elements_per_chunk,
               [&](int64_t begin, int64_t end) { kernels_.axpy(factor, in + begin, out + begin, end - begin); });
}

void CpuBackend::abs_accumulate_impl(float factor, const Tensor& x, Tensor& y) {
    const float* in = x.data();
    float* out = y.mutable_data();
    for_chunks(x.numel(), elements_per_chunk, [&](int64_t begin, int64_t end) {
        kernels_.abs_accumulate(factor, in + begin, out + begin, end - begin);
    });
}

Tensor CpuBackend::relu_mask_add_impl(const Tensor& a, const Tensor& b, const Tensor& y) {
    Tensor result = Tensor::empty(a.shape());
    const float *as = a.data(), *bs = b.defined() ? b.data() : nullptr, *ys = y.data();
    float* out = result.mutable_data();
    for_chunks(a.numel(), elements_per_chunk, [&](int64_t begin, int64_t end) {
        kernels_.relu_mask_add(as + begin, bs == nullptr ? nullptr : bs + begin, ys + begin, out + begin, end - begin);
    });
    return result;
}

}  // namespace lethe
