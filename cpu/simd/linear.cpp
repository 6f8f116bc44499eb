// Matrix products of the classifier layer. Every output is summed in one order, whatever rows are computed with it, so
// that an image's logits do not depend on its batch.
#include "cpu/simd/tables.h"
#include "cpu/simd/vec.h"

namespace lethe::simd::LETHE_ISA {
namespace {

// Outputs [0, Count) of one row: dot products that share the loads of x.
template <int Count>
LETHE_INLINE void dots(const float* x, const float* w, const float* b, float* y, int64_t in) {
    Vec acc[Count] = {};
    int64_t f = 0;
    for (; f + lanes <= in; f += lanes) {
        const Vec xv = at(x + f);
#pragma GCC unroll 4
        for (int o = 0; o < Count; ++o) acc[o] += xv * at(w + o * in + f);
    }
    for (int o = 0; o < Count; ++o) {
        float sum = total(acc[o]);
        for (int64_t i = f; i < in; ++i) sum += x[i] * w[o * in + i];
        y[o] = sum + b[o];
    }
}

void linear(const float* x, const float* w, const float* b, float* y, int64_t rows, int64_t in, int64_t out) {
    for (int64_t r = 0; r < rows; ++r) {
        int64_t o = 0;
        for (; o + 4 <= out; o += 4) dots<4>(x + r * in, w + o * in, b + o, y + r * out + o, in);
        for (; o < out; ++o) dots<1>(x + r * in, w + o * in, b + o, y + r * out + o, in);
    }
}

// out[f] = sum over i of factor[i * factor_step] * matrix[i * columns + f]
LETHE_INLINE void combine(const float* factor, int64_t factor_step, const float* matrix, int64_t count, int64_t columns,
                          float* out) {
    int64_t f = 0;
    for (; f + 4 * lanes <= columns; f += 4 * lanes) {
        Vec acc[4] = {};
        for (int64_t i = 0; i < count; ++i) {
            Vec factors;
            set(factors, factor[i * factor_step]);
#pragma GCC unroll 4
            for (int v = 0; v < 4; ++v) acc[v] += factors * at(matrix + i * columns + f + v * lanes);
        }
        for (int v = 0; v < 4; ++v) at(out + f + v * lanes) = acc[v];
    }
    for (; f < columns; ++f) {
        float sum = 0.0f;
        for (int64_t i = 0; i < count; ++i) sum += factor[i * factor_step] * matrix[i * columns + f];
        out[f] = sum;
    }
}

void linear_grad_x(const float* grad_y, const float* w, float* grad_x, int64_t rows, int64_t in, int64_t out) {
    for (int64_t r = 0; r < rows; ++r) combine(grad_y + r * out, 1, w, out, in, grad_x + r * in);
}

void linear_grad_w(const float* grad_y, const float* x, float* grad_w, int64_t rows, int64_t in, int64_t out,
                   int64_t begin, int64_t end) {
    for (int64_t o = begin; o < end; ++o) combine(grad_y + o, out, x, rows, in, grad_w + o * in);
}

}  // namespace

void add_linear(Kernels& table) {
    table.linear = linear;
    table.linear_grad_x = linear_grad_x;
    table.linear_grad_w = linear_grad_w;
}

}  // namespace lethe::simd::LETHE_ISA
