// Channels-last arrays as flat arrays with periodic per-channel constants: statistics, normalisation and their
// gradients.
#include "cpu/simd/tables.h"
#include "cpu/simd/vec.h"

namespace lethe::simd::LETHE_ISA {
namespace {

// Floats per block: two passes over a block find it in the first-level cache the second time.
constexpr int64_t block_floats = 8192;

LETHE_INLINE int64_t block_periods(int64_t period) {
    const int64_t count = block_floats / period;
    return count < 1 ? 1 : count;
}

// Calls strip(j, width) for the columns of a period: four vectors at a time, then one.
#define LETHE_FOR_STRIPS(period, four, one)                     \
    {                                                           \
        int64_t j = 0;                                          \
        for (; j + 4 * lanes <= (period); j += 4 * lanes) four; \
        for (; j < (period); j += lanes) one;                   \
    }

template <int Width>
LETHE_INLINE void sum_strip(const float* x, int64_t rows, int64_t period, Vec* sums) {
    Vec acc[Width] = {};
    for (int64_t r = 0; r < rows; ++r)
#pragma GCC unroll 4
        for (int v = 0; v < Width; ++v) acc[v] += at(x + r * period + v * lanes);
    for (int v = 0; v < Width; ++v) sums[v] = acc[v];
}

template <int Width>
LETHE_INLINE void add_sums(const float* x, int64_t rows, int64_t period, double* sums) {
    Vec acc[Width];
    sum_strip<Width>(x, rows, period, acc);
    for (int v = 0; v < Width; ++v)
        for (int64_t k = 0; k < lanes; ++k) sums[v * lanes + k] += static_cast<double>(acc[v][k]);
}

void lane_sums(const float* x, int64_t n, int64_t period, double* sums) {
    for (int64_t j = 0; j < period; ++j) sums[j] = 0.0;
    const int64_t periods = n / period, step = block_periods(period);
    for (int64_t begin = 0; begin < periods; begin += step) {
        const int64_t rows = periods - begin < step ? periods - begin : step;
        const float* block = x + begin * period;
        LETHE_FOR_STRIPS(period, add_sums<4>(block + j, rows, period, sums + j),
                         add_sums<1>(block + j, rows, period, sums + j))
    }
    for (int64_t j = periods * period; j < n; ++j) sums[j - periods * period] += static_cast<double>(x[j]);
}

// Adds `rows` samples of each lane to (mean, m2) over `before` samples: the block's own moments in two passes, then
// Chan, Golub and LeVeque's update ("Updating formulae and a pairwise algorithm for computing sample variances", 1979).
template <int Width>
LETHE_INLINE void add_moments(const float* x, int64_t rows, int64_t period, int64_t before, double* mean, double* m2) {
    Vec block_mean[Width];
    sum_strip<Width>(x, rows, period, block_mean);
    const float inverse = 1.0f / static_cast<float>(rows);
    for (int v = 0; v < Width; ++v) block_mean[v] *= inverse;
    Vec squares[Width] = {}, rests[Width] = {};
    for (int64_t r = 0; r < rows; ++r)
#pragma GCC unroll 4
        for (int v = 0; v < Width; ++v) {
            const Vec d = at(x + r * period + v * lanes) - block_mean[v];
            squares[v] += d * d;
            rests[v] += d;  // what rounding left out of block_mean
        }
    const double m = static_cast<double>(rows), share = m / static_cast<double>(before + rows);
    for (int v = 0; v < Width; ++v)
        for (int64_t k = 0; k < lanes; ++k) {
            const int64_t lane = v * lanes + k;
            const double rest = static_cast<double>(rests[v][k]) / m;
            const double delta = static_cast<double>(block_mean[v][k]) + rest - mean[lane];
            mean[lane] += delta * share;
            m2[lane] += static_cast<double>(squares[v][k]) - m * rest * rest +
                        delta * delta * share * static_cast<double>(before);
        }
}

void lane_moments(const float* x, int64_t n, int64_t period, double* mean, double* m2) {
    for (int64_t j = 0; j < period; ++j) mean[j] = m2[j] = 0.0;
    const int64_t periods = n / period, step = block_periods(period);
    for (int64_t begin = 0; begin < periods; begin += step) {
        const int64_t rows = periods - begin < step ? periods - begin : step;
        const float* block = x + begin * period;
        LETHE_FOR_STRIPS(period, add_moments<4>(block + j, rows, period, begin, mean + j, m2 + j),
                         add_moments<1>(block + j, rows, period, begin, mean + j, m2 + j))
    }
    for (int64_t j = 0; j < n - periods * period; ++j) {  // the last, incomplete period: one more sample (Welford)
        const double delta = static_cast<double>(x[periods * period + j]) - mean[j];
        mean[j] += delta / static_cast<double>(periods + 1);
        m2[j] += delta * (static_cast<double>(x[periods * period + j]) - mean[j]);
    }
}

template <bool Residual, bool Relu>
void affine(const float* x, const float* residual, float* y, int64_t n, const ChannelAffine& op) {
    const float *mean = op.mean, *scale = op.scale, *shift = op.shift;
    const int64_t period = op.period, whole = n / period * period;
    const Vec zero = {};
    for (int64_t i = 0; i < whole; i += period)
        for (int64_t j = 0; j < period; j += lanes) {
            Vec v = (at(x + i + j) - at(mean + j)) * at(scale + j) + at(shift + j);
            if constexpr (Residual) v += at(residual + i + j);
            if constexpr (Relu) v = v < zero ? zero : v;  // keeps NaN
            at(y + i + j) = v;
        }
    for (int64_t i = whole; i < n; ++i) {
        const int64_t j = i - whole;
        float v = (x[i] - mean[j]) * scale[j] + shift[j];
        if (Residual) v += residual[i];
        if (Relu) v = v < 0.0f ? 0.0f : v;
        y[i] = v;
    }
}

void channel_affine(const float* x, const float* residual, float* y, int64_t n, const ChannelAffine& op) {
    if (residual != nullptr && op.relu) return affine<true, true>(x, residual, y, n, op);
    if (residual != nullptr) return affine<true, false>(x, residual, y, n, op);
    if (op.relu) return affine<false, true>(x, residual, y, n, op);
    affine<false, false>(x, residual, y, n, op);
}

template <int Width, bool Relu>
LETHE_INLINE void add_grad_sums(const float* g, const float* y, const float* x, const float* mean, int64_t rows,
                                int64_t period, double* sums, double* products) {
    Vec acc[Width] = {}, acc_x[Width] = {}, center[Width];
    const Vec zero = {};
    for (int v = 0; v < Width; ++v) center[v] = at(mean + v * lanes);
    for (int64_t r = 0; r < rows; ++r)
#pragma GCC unroll 4
        for (int v = 0; v < Width; ++v) {
            const int64_t i = r * period + v * lanes;
            Vec gm = at(g + i);
            if constexpr (Relu) gm = at(y + i) > zero ? gm : zero;
            acc[v] += gm;
            acc_x[v] += gm * (at(x + i) - center[v]);
        }
    for (int v = 0; v < Width; ++v)
        for (int64_t k = 0; k < lanes; ++k) {
            sums[v * lanes + k] += static_cast<double>(acc[v][k]);
            products[v * lanes + k] += static_cast<double>(acc_x[v][k]);
        }
}

template <bool Relu>
void grad_sums(const float* g, const float* y, const float* x, const float* mean, int64_t n, int64_t period,
               double* sums, double* products) {
    for (int64_t j = 0; j < period; ++j) sums[j] = products[j] = 0.0;
    const int64_t periods = n / period, step = block_periods(period);
    for (int64_t begin = 0; begin < periods; begin += step) {
        const int64_t rows = periods - begin < step ? periods - begin : step, i = begin * period;
        const auto masks = [&](int64_t j) { return Relu ? y + i + j : nullptr; };
        LETHE_FOR_STRIPS(
            period,
            (add_grad_sums<4, Relu>(g + i + j, masks(j), x + i + j, mean + j, rows, period, sums + j, products + j)),
            (add_grad_sums<1, Relu>(g + i + j, masks(j), x + i + j, mean + j, rows, period, sums + j, products + j)))
    }
    for (int64_t i = periods * period; i < n; ++i) {
        const int64_t j = i - periods * period;
        const float gm = Relu && !(y[i] > 0.0f) ? 0.0f : g[i];
        sums[j] += static_cast<double>(gm);
        products[j] += static_cast<double>(gm * (x[i] - mean[j]));
    }
}

void batchnorm_grad_sums(const float* grad_y, const float* y, const float* x, const float* mean, int64_t n,
                         int64_t period, double* sums, double* products) {
    if (y != nullptr) return grad_sums<true>(grad_y, y, x, mean, n, period, sums, products);
    grad_sums<false>(grad_y, y, x, mean, n, period, sums, products);
}

template <bool Relu, bool Centered>
void grad_x_loop(const float* g, const float* y, const float* x, float* grad_x, float* grad_residual, int64_t n,
                 const BatchNormGradX& op) {
    const float *scale = op.scale, *mean = op.mean, *mean_grad = op.mean_grad, *slope = op.slope;
    const int64_t period = op.period, whole = n / period * period;
    const Vec zero = {};
    for (int64_t i = 0; i < whole; i += period)
        for (int64_t j = 0; j < period; j += lanes) {
            Vec gm = at(g + i + j);
            if constexpr (Relu) gm = at(y + i + j) > zero ? gm : zero;
            if (grad_residual != nullptr) at(grad_residual + i + j) = gm;
            if constexpr (Centered) gm = gm - at(mean_grad + j) - (at(x + i + j) - at(mean + j)) * at(slope + j);
            if (grad_x != nullptr) at(grad_x + i + j) = at(scale + j) * gm;
        }
    for (int64_t i = whole; i < n; ++i) {
        const int64_t j = i - whole;
        float gm = Relu && !(y[i] > 0.0f) ? 0.0f : g[i];
        if (grad_residual != nullptr) grad_residual[i] = gm;
        if (Centered) gm = gm - mean_grad[j] - (x[i] - mean[j]) * slope[j];
        if (grad_x != nullptr) grad_x[i] = scale[j] * gm;
    }
}

void batchnorm_grad_x(const float* grad_y, const float* y, const float* x, float* grad_x, float* grad_residual,
                      int64_t n, const BatchNormGradX& op) {
    const bool relu = y != nullptr, centered = op.mean != nullptr;
    if (relu && centered) return grad_x_loop<true, true>(grad_y, y, x, grad_x, grad_residual, n, op);
    if (relu) return grad_x_loop<true, false>(grad_y, y, x, grad_x, grad_residual, n, op);
    if (centered) return grad_x_loop<false, true>(grad_y, y, x, grad_x, grad_residual, n, op);
    grad_x_loop<false, false>(grad_y, y, x, grad_x, grad_residual, n, op);
}

}  // namespace

void add_channels(Kernels& table) {
    table.lane_sums = lane_sums;
    table.lane_moments = lane_moments;
    table.channel_affine = channel_affine;
    table.batchnorm_grad_sums = batchnorm_grad_sums;
    table.batchnorm_grad_x = batchnorm_grad_x;
}

}  // namespace lethe::simd::LETHE_ISA
