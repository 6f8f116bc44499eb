// Layer normalisation: see Backend::layer_norm.
#pragma once

#include <cmath>
#include <cstdint>

#include "cuda/columns.cuh"
#include "cuda/warp_rows.cuh"

namespace LETHE_CUDA {

__global__ void layer_norm_kernel(const float* __restrict__ x, const float* __restrict__ gamma,
                                  const float* __restrict__ beta, float eps, int64_t rows, int64_t features,
                                  float* __restrict__ y, float* __restrict__ mean, float* __restrict__ inv_std) {
    const int64_t row = warp_row();
    if (row >= rows) return;
    const float* from = x + row * features;
    const auto count = static_cast<double>(features);
    const double center = warp_sum_of(features, [&](int64_t f) { return static_cast<double>(from[f]); }) / count;
    const double variance = warp_sum_of(features,
                                        [&](int64_t f) {
                                            const double away = static_cast<double>(from[f]) - center;
                                            return away * away;
                                        }) /
                            count;
    const auto m = static_cast<float>(center),
               scale = static_cast<float>(1.0 / sqrt(variance + static_cast<double>(eps)));
    for (int64_t f = lane(); f < features; f += warp_size)
        y[row * features + f] = (from[f] - m) * scale * gamma[f] + beta[f];
    if (lane() != 0) return;
    mean[row] = m;
    inv_std[row] = scale;
}

// With h = gamma g and n = (x - mean) inv_std: grad_x = inv_std (h - mean(h) - n mean(h n)).
__global__ void layer_norm_grad_x_kernel(const float* __restrict__ grad_y, const float* __restrict__ x,
                                         const float* __restrict__ gamma, const float* __restrict__ mean,
                                         const float* __restrict__ inv_std, int64_t rows, int64_t features,
                                         float* __restrict__ grad_x) {
    const int64_t row = warp_row();
    if (row >= rows) return;
    const float *g = grad_y + row * features, *from = x + row * features;
    const float m = mean[row], scale = inv_std[row];
    const auto count = static_cast<double>(features);
    const double sum = warp_sum_of(features, [&](int64_t f) { return static_cast<double>(gamma[f] * g[f]); });
    const double products = warp_sum_of(features, [&](int64_t f) {
        return static_cast<double>(gamma[f] * g[f]) * static_cast<double>((from[f] - m) * scale);
    });
    const auto shift = static_cast<float>(sum / count), slope = static_cast<float>(products / count);
    for (int64_t f = lane(); f < features; f += warp_size)
        grad_x[row * features + f] = scale * (gamma[f] * g[f] - shift - (from[f] - m) * scale * slope);
}

// Partial sums [chunks, features] of g (x - mean) inv_std.
template <int Width>
__global__ void layer_norm_grad_gamma_kernel(const float* __restrict__ grad_y, const float* __restrict__ x,
                                             const float* __restrict__ mean, const float* __restrict__ inv_std,
                                             Columns columns, double* __restrict__ partial) {
    const ColumnThread me(columns);
    double sum[Width] = {};
    for (int i = 0; i < me.count; ++i) {
        const int64_t row = me.first + static_cast<int64_t>(i) * columns.down;
        const Floats<Width> g = read<Width>(grad_y + me.at(i)), value = read<Width>(x + me.at(i));
        for (int v = 0; v < Width; ++v)
            sum[v] += static_cast<double>(g.at[v]) * static_cast<double>((value.at[v] - mean[row]) * inv_std[row]);
    }
    add_down(sum, me, columns);
    if (!me.leads()) return;
    for (int v = 0; v < Width; ++v) partial[blockIdx.x * columns.columns + me.column + v] = sum[v];
}

}  // namespace LETHE_CUDA
