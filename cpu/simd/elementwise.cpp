// Elementwise loops, one per entry of the lists in tensor/elementwise.h. `flatten` inlines the functors, so that no
// copy of them compiled for this instruction set is visible to the linker.
#include "tensor/elementwise.h"

#include "cpu/simd.h"
#include "cpu/simd/tables.h"
#include "cpu/simd/vector_math.h"

namespace lethe::simd::LETHE_ISA {

#define LETHE_LOOP __attribute__((flatten))

// The C library's vector and scalar functions differ in their last bits, so the few elements after the last whole
// vector take the vector's way too, through the very same code (noipa): an element's result does not depend on where in
// the array it stands.
constexpr int64_t width = 16;

#define LETHE_UNARY(op, functor)                                                                                 \
    __attribute__((flatten, noipa)) static void op##_blocks(const float* x, float* y, int64_t blocks) {          \
        for (int64_t b = 0; b < blocks; ++b)                                                                     \
            _Pragma("omp simd") for (int64_t i = 0; i < width; ++i) y[b * width + i] =                           \
                elementwise::functor::f(x[b * width + i]);                                                       \
    }                                                                                                            \
    static void op##_loop(const float* x, float* y, int64_t n) {                                                 \
        const int64_t blocks = n / width, done = blocks * width;                                                 \
        op##_blocks(x, y, blocks);                                                                               \
        if (done == n) return;                                                                                   \
        float rest[width] = {}, results[width];                                                                  \
        for (int64_t j = 0; done + j < n; ++j) rest[j] = x[done + j];                                            \
        op##_blocks(rest, results, 1);                                                                           \
        for (int64_t j = 0; done + j < n; ++j) y[done + j] = results[j];                                         \
    }                                                                                                            \
    __attribute__((flatten, noipa)) static void op##_grad_blocks(const float* g, const float* x, const float* y, \
                                                                 float* out, int64_t blocks) {                   \
        for (int64_t b = 0; b < blocks; ++b)                                                                     \
            _Pragma("omp simd") for (int64_t i = b * width; i < (b + 1) * width; ++i) out[i] =                   \
                g[i] * elementwise::functor::df(x[i], y[i]);                                                     \
    }                                                                                                            \
    static void op##_grad_loop(const float* g, const float* x, const float* y, float* out, int64_t n) {          \
        const int64_t blocks = n / width, done = blocks * width;                                                 \
        op##_grad_blocks(g, x, y, out, blocks);                                                                  \
        if (done == n) return;                                                                                   \
        float gs[width] = {}, xs[width] = {}, ys[width] = {}, results[width];                                    \
        for (int64_t j = 0; done + j < n; ++j) gs[j] = g[done + j], xs[j] = x[done + j], ys[j] = y[done + j];    \
        op##_grad_blocks(gs, xs, ys, results, 1);                                                                \
        for (int64_t j = 0; done + j < n; ++j) out[done + j] = results[j];                                       \
    }
LETHE_UNARY_OPS(LETHE_UNARY)

#define LETHE_BINARY(op, functor)                                                                           \
    LETHE_LOOP static void op##_loop(const float* a, const float* b, float* y, int64_t n) {                 \
        _Pragma("omp simd") for (int64_t i = 0; i < n; ++i) y[i] = elementwise::functor::f(a[i], b[i]);     \
    }                                                                                                       \
    LETHE_LOOP static void op##_grad_a_loop(const float* g, const float* a, const float* b, const float* y, \
                                            float* out, int64_t n) {                                        \
        _Pragma("omp simd") for (int64_t i = 0; i < n; ++i) out[i] =                                        \
            g[i] * elementwise::functor::da(a[i], b[i], y[i]);                                              \
    }                                                                                                       \
    LETHE_LOOP static void op##_grad_b_loop(const float* g, const float* a, const float* b, const float* y, \
                                            float* out, int64_t n) {                                        \
        _Pragma("omp simd") for (int64_t i = 0; i < n; ++i) out[i] =                                        \
            g[i] * elementwise::functor::db(a[i], b[i], y[i]);                                              \
    }
LETHE_BINARY_OPS(LETHE_BINARY)

static void scale(const float* x, float factor, float* y, int64_t n) {
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) y[i] = x[i] * factor;
}

static void axpy(float factor, const float* x, float* y, int64_t n) {
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) y[i] += factor * x[i];
}

static void abs_accumulate(float factor, const float* x, float* y, int64_t n) {
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) y[i] += factor * __builtin_fabsf(x[i]);
}

static void relu_mask_add(const float* a, const float* b, const float* y, float* out, int64_t n) {
    if (b == nullptr) {
#pragma omp simd
        for (int64_t i = 0; i < n; ++i) out[i] = y[i] > 0.0f ? a[i] : 0.0f;
    } else {
#pragma omp simd
        for (int64_t i = 0; i < n; ++i) {
            const float sum = a[i] + b[i];
            out[i] = y[i] > 0.0f ? sum : 0.0f;
        }
    }
}

static void keep_larger(const float* x, int64_t first, float* most, int64_t* where, int64_t n) {
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) {
        const float value = x[i], before = most[i];
        const bool wins = (value > before) | ((value != value) & (before == before));  // NaN differs from itself
        most[i] = wins ? value : before;
        where[i] = wins ? first + i : where[i];
    }
}

void add_elementwise(Kernels& table) {
#define LETHE_ENTRY(op, functor)                          \
    table.unary[static_cast<int>(Unary::op)] = op##_loop; \
    table.unary_grad[static_cast<int>(Unary::op)] = op##_grad_loop;
    LETHE_UNARY_OPS(LETHE_ENTRY)
#undef LETHE_ENTRY
#define LETHE_ENTRY(op, functor)                                           \
    table.binary[static_cast<int>(Binary::op)] = op##_loop;                \
    table.binary_grad[static_cast<int>(Binary::op)][0] = op##_grad_a_loop; \
    table.binary_grad[static_cast<int>(Binary::op)][1] = op##_grad_b_loop;
    LETHE_BINARY_OPS(LETHE_ENTRY)
    table.scale = scale;
    table.axpy = axpy;
    table.abs_accumulate = abs_accumulate;
    table.relu_mask_add = relu_mask_add;
    table.keep_larger = keep_larger;
}

}  // namespace lethe::simd::LETHE_ISA
