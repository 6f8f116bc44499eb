// Depthwise convolutions of one image, channels-last: sixteen channels fill a vector, what is left of them goes one by
// one. The sum of one output runs over kernel rows, then columns.
#include "cpu/simd/tables.h"
#include "cpu/simd/vec.h"

namespace lethe::simd::LETHE_ISA {
namespace {

LETHE_INLINE void load(Vec& v, const float* p) { v = at(p); }
LETHE_INLINE void load(float& v, const float* p) { v = *p; }
LETHE_INLINE void store(const Vec& v, float* p) { at(p) = v; }
LETHE_INLINE void store(const float& v, float* p) { *p = v; }
LETHE_INLINE void positive(Vec& v) { v = v < Vec{} ? Vec{} : v; }  // keeps NaN
LETHE_INLINE void positive(float& v) { v = v < 0.0f ? 0.0f : v; }

// The taps of a window that begins at `top` whose pixels lie in [0, size).
struct Taps {
    int64_t first, end;
};
LETHE_INLINE Taps taps_inside(int64_t top, int64_t kernel, int64_t size) {
    return {top < 0 ? -top : 0, top + kernel > size ? size - top : kernel};
}

// The outputs (position + pad - tap) / stride that a pixel went into, from its first tap on, `step` outputs back and
// `stride` taps on each time.
struct Seen {
    int64_t tap, output, count;
};
LETHE_INLINE Seen seen_by(int64_t position, int64_t outputs, const DepthwiseImage& op) {
    int64_t tap = (position + op.pad) % op.stride, output = (position + op.pad) / op.stride;
    if (output >= outputs) {
        tap += (output - outputs + 1) * op.stride;
        output = outputs - 1;
    }
    const int64_t taps = tap < op.kernel ? (op.kernel - tap + op.stride - 1) / op.stride : 0;
    return {tap, output, taps < output + 1 ? taps : output + 1};
}

// Outputs of one row p for the channels of V at c. A kernel of 3x3 keeps its weights in registers.
template <class V, int Kernel>
LETHE_INLINE void outputs_of_row(const float* x, const float* weights, float* y, int64_t p, int64_t c,
                                 const DepthwiseImage& op) {
    const int64_t kernel = Kernel != 0 ? Kernel : op.kernel, channels = op.channels, top = p * op.stride - op.pad;
    const Taps rows = taps_inside(top, kernel, op.height);
    V kept[Kernel != 0 ? Kernel * Kernel : 1], bias{};
    for (int64_t i = 0; i < Kernel * Kernel; ++i) load(kept[i], weights + i * channels + c);
    if (op.bias != nullptr) load(bias, op.bias + c);
    for (int64_t q = 0; q < op.out_width; ++q) {
        const int64_t left = q * op.stride - op.pad;
        const Taps columns = taps_inside(left, kernel, op.width);
        V sum{}, value, weight;
        for (int64_t r = rows.first; r < rows.end; ++r) {
            const float* from = x + ((top + r) * op.width + left) * channels + c;
            for (int64_t s = columns.first; s < columns.end; ++s) {
                load(value, from + s * channels);
                if constexpr (Kernel != 0)
                    weight = kept[r * Kernel + s];
                else
                    load(weight, weights + (r * kernel + s) * channels + c);
                sum += value * weight;
            }
        }
        sum += bias;
        const int64_t to = (p * op.out_width + q) * channels + c;
        if (op.residual != nullptr) {
            load(value, op.residual + to);
            sum += value;
        }
        if (op.relu) positive(sum);
        store(sum, y + to);
    }
}

template <int Kernel>
void forward_image(const float* x, const float* weights, float* y, const DepthwiseImage& op) {
    for (int64_t p = 0; p < op.out_height; ++p) {
        int64_t c = 0;
        for (; c + lanes <= op.channels; c += lanes) outputs_of_row<Vec, Kernel>(x, weights, y, p, c, op);
        for (; c < op.channels; ++c) outputs_of_row<float, Kernel>(x, weights, y, p, c, op);
    }
}

void depthwise(const float* x, const float* weights, float* y, const DepthwiseImage& op) {
    if (op.kernel == 3)
        forward_image<3>(x, weights, y, op);
    else
        forward_image<0>(x, weights, y, op);
}

template <class V>
LETHE_INLINE void gradients_of_row(const float* grad_y, const float* weights, float* grad_x, int64_t h, int64_t c,
                                   const DepthwiseImage& op) {
    const int64_t channels = op.channels;
    const Seen rows = seen_by(h, op.out_height, op);
    for (int64_t w = 0; w < op.width; ++w) {
        const Seen columns = seen_by(w, op.out_width, op);
        V sum{}, value, weight;
        for (int64_t i = 0; i < rows.count; ++i) {
            const float* taps = weights + (rows.tap + i * op.stride) * op.kernel * channels + c;
            const float* from = grad_y + (rows.output - i) * op.out_width * channels + c;
            for (int64_t j = 0; j < columns.count; ++j) {
                load(value, from + (columns.output - j) * channels);
                load(weight, taps + (columns.tap + j * op.stride) * channels);
                sum += value * weight;
            }
        }
        store(sum, grad_x + (h * op.width + w) * channels + c);
    }
}

void depthwise_grad_x(const float* grad_y, const float* weights, float* grad_x, const DepthwiseImage& op) {
    for (int64_t h = 0; h < op.height; ++h) {
        int64_t c = 0;
        for (; c + lanes <= op.channels; c += lanes) gradients_of_row<Vec>(grad_y, weights, grad_x, h, c, op);
        for (; c < op.channels; ++c) gradients_of_row<float>(grad_y, weights, grad_x, h, c, op);
    }
}

// Output row p's part of the gradient for the weights of the channels of V at c: a sum per row keeps sums short.
template <class V, int Kernel>
LETHE_INLINE void taps_of_row(const float* grad_y, const float* x, float* weights, int64_t p, int64_t c,
                              const DepthwiseImage& op) {
    const int64_t kernel = Kernel != 0 ? Kernel : op.kernel, channels = op.channels, top = p * op.stride - op.pad;
    const Taps rows = taps_inside(top, kernel, op.height);
    for (int64_t r = rows.first; r < rows.end; ++r)
        for (int64_t s = 0; s < kernel; s += Kernel != 0 ? Kernel : 1) {
            V sums[Kernel != 0 ? Kernel : 1] = {}, gradient, value;
            for (int64_t q = 0; q < op.out_width; ++q) {
                load(gradient, grad_y + (p * op.out_width + q) * channels + c);
                for (int64_t i = 0; i < (Kernel != 0 ? Kernel : 1); ++i) {
                    const int64_t column = q * op.stride - op.pad + s + i;
                    if (column < 0 || column >= op.width) continue;
                    load(value, x + ((top + r) * op.width + column) * channels + c);
                    sums[i] += gradient * value;
                }
            }
            for (int64_t i = 0; i < (Kernel != 0 ? Kernel : 1); ++i) {
                float* to = weights + (r * kernel + s + i) * channels + c;
                load(value, to);
                store(value + sums[i], to);
            }
        }
}

template <int Kernel>
void grad_w_image(const float* grad_y, const float* x, float* weights, const DepthwiseImage& op) {
    for (int64_t p = 0; p < op.out_height; ++p) {
        int64_t c = 0;
        for (; c + lanes <= op.channels; c += lanes) taps_of_row<Vec, Kernel>(grad_y, x, weights, p, c, op);
        for (; c < op.channels; ++c) taps_of_row<float, Kernel>(grad_y, x, weights, p, c, op);
    }
}

void depthwise_grad_w(const float* grad_y, const float* x, float* weights, const DepthwiseImage& op) {
    if (op.kernel == 3)
        grad_w_image<3>(grad_y, x, weights, op);
    else
        grad_w_image<0>(grad_y, x, weights, op);
}

}  // namespace

void add_depthwise(Kernels& table) {
    table.depthwise = depthwise;
    table.depthwise_grad_x = depthwise_grad_x;
    table.depthwise_grad_w = depthwise_grad_w;
}

}  // namespace lethe::simd::LETHE_ISA
