#include <bit>
#include <cmath>

#include "cpu/backend.h"
#include "cpu/chunks.h"

namespace lethe {
namespace {

// A bfloat16 is the upper half of a float. To the nearest, ties to even; every NaN becomes the one that GPUs give.
uint16_t to_bfloat16(float value) {
    if (std::isnan(value)) return 0x7fff;
    const auto bits = std::bit_cast<uint32_t>(value);
    return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

float from_bfloat16(uint16_t bits) { return std::bit_cast<float>(uint32_t{bits} << 16); }

template <class From, class To>
void convert(const Tensor& x, Tensor& y, To (*element)(From)) {
    const auto* in = static_cast<const From*>(x.device_data());
    auto* out = static_cast<To*>(y.mutable_device_data());
    for_chunks(x.numel(), elements_per_chunk,
               [&](int64_t begin, int64_t end) { std::transform(in + begin, in + end, out + begin, element); });
}

}  // namespace

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

Tensor CpuBackend::cast_impl(const Tensor& x, DType dtype) {
    Tensor y = Tensor::empty(x.shape(), dtype);
    if (dtype == DType::bfloat16)
        convert(x, y, to_bfloat16);
    else
        convert(x, y, from_bfloat16);
    return y;
}

void CpuBackend::fill_impl(Tensor& x, float value) {
    float* out = x.mutable_data();
    for_chunks(x.numel(), elements_per_chunk,
               [&](int64_t begin, int64_t end) { std::fill(out + begin, out + end, value); });
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
