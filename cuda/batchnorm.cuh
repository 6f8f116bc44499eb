// Batch normalisation of channels-last pixels: statistics, application, gradients, folding.
//
// Whatever is summed over all pixels takes two kernels: the first leaves one partial result per channel and chunk of
// pixels, the second adds those up, in double and in a fixed order.
#pragma once

#include <cmath>
#include <cstdint>

#include "cuda/columns.cuh"

namespace LETHE_CUDA {

// The mean of some values and the sum of their squared distances from it.
struct Moments {
    double mean, m2;
};

// Partial moments [chunks, C]. In float, sums of x - shift keep the digits that sums of x and x^2 would lose, with each
// thread's first pixel as its shift: a large mean must not drown a small variance. In double the threads' sums are
// moved to a common origin, the chunk's first pixel, and added up: a constant channel has a variance of exactly 0. With
// eight columns a thread needs more registers than four blocks on a multiprocessor leave it.
template <class T, int Width>
__global__ __launch_bounds__(Columns::threads,
                             Width > 4 ? 2 : 4) void batchnorm_moments_kernel(const T* __restrict__ x, Columns columns,
                                                                              Moments* __restrict__ partial) {
    const ColumnThread me(columns);
    Floats<Width> shift{}, sum{}, squares{}, origin{};
    if (me.count > 0) {
        shift = read<Width>(x + me.at(0));
        origin = read<Width>(x + me.begin * columns.columns + me.column);
    }
#pragma unroll 4
    for (int i = 0; i < me.count; ++i) {
        const Floats<Width> value = read<Width>(x + me.at(i));
        for (int v = 0; v < Width; ++v) {
            const float d = value.at[v] - shift.at[v];
            sum.at[v] += d;
            squares.at[v] += d * d;
        }
    }
    const auto own = static_cast<double>(me.count), all = static_cast<double>(me.end - me.begin);
    double first[Width], second[Width];  // sums of x - origin and of its square
    for (int v = 0; v < Width; ++v) {
        const double move = static_cast<double>(shift.at[v]) - static_cast<double>(origin.at[v]);
        const auto moved = static_cast<double>(sum.at[v]);
        first[v] = moved + own * move;
        second[v] = static_cast<double>(squares.at[v]) + move * (2.0 * moved + own * move);
    }
    add_down(first, me, columns);
    add_down(second, me, columns);
    if (!me.leads()) return;
    for (int v = 0; v < Width; ++v) {
        const double offset = first[v] / all;
        partial[blockIdx.x * columns.columns + me.column + v] = {static_cast<double>(origin.at[v]) + offset,
                                                                 second[v] - offset * first[v]};
    }
}

// What the statistics of a batch are written to. running_* is null where it stays as it is.
struct BatchNormStatistics {
    float *mean, *inv_std, *running_mean, *running_var;
    float eps, momentum;
};

__device__ inline void update_running(float* running, double value, float momentum) {
    const auto share = static_cast<double>(momentum);
    *running = static_cast<float>((1.0 - share) * static_cast<double>(*running) + share * value);
}

// Joins the partial moments of chunks of `chunk` pixels, the last one shorter, of `pixels` in all. Parts with means m_i
// and M2_i make M2 = sum M2_i + n_i (m_i - m)^2, m being the mean of all (the parallel axis theorem).
__global__ void batchnorm_statistics_kernel(const Moments* __restrict__ partial, Columns columns, int64_t pixels,
                                            int64_t chunk, BatchNormStatistics to) {
    const ColumnThread me(columns);
    const auto size = [&](int i) {
        const int64_t begin = (me.first + i * columns.down) * chunk;
        return static_cast<double>(begin + chunk < pixels ? chunk : pixels - begin);
    };
    double mean[1] = {}, m2[1] = {};
    for (int i = 0; i < me.count; ++i) mean[0] += size(i) * partial[me.at(i)].mean;
    add_down(mean, me, columns);
    mean[0] /= static_cast<double>(pixels);
    for (int i = 0; i < me.count; ++i) {
        const Moments part = partial[me.at(i)];
        const double distance = part.mean - mean[0];
        m2[0] += part.m2 + size(i) * distance * distance;
    }
    add_down(m2, me, columns);
    if (!me.leads()) return;
    const auto count = static_cast<double>(pixels);
    to.mean[me.column] = static_cast<float>(mean[0]);
    to.inv_std[me.column] = static_cast<float>(1.0 / sqrt(m2[0] / count + static_cast<double>(to.eps)));
    if (to.running_mean == nullptr) return;
    update_running(to.running_mean + me.column, mean[0], to.momentum);
    update_running(to.running_var + me.column, m2[0] / (count - 1.0), to.momentum);
}

__global__ void batchnorm_constants_kernel(const float* __restrict__ running_mean,
                                           const float* __restrict__ running_var, int64_t channels, float eps,
                                           float* __restrict__ mean, float* __restrict__ inv_std) {
    const int64_t c = grid_first();
    if (c >= channels) return;
    mean[c] = running_mean[c];
    inv_std[c] = static_cast<float>(1.0 / sqrt(static_cast<double>(running_var[c]) + static_cast<double>(eps)));
}

// The `Width` channels from c of gamma inv_std.
template <int Width>
__device__ __forceinline__ Floats<Width> read_scale(const float* gamma, const float* inv_std, int64_t c) {
    Floats<Width> scale = read<Width>(gamma + c);
    const Floats<Width> factor = read<Width>(inv_std + c);
    for (int v = 0; v < Width; ++v) scale.at[v] *= factor.at[v];
    return scale;
}

// The parameters of a layer, each [C].
struct BatchNormConstants {
    const float *gamma, *beta, *mean, *inv_std;
};

// y = relu?(gamma inv_std (x - mean) + beta + residual?); residual may be null.
template <class T, int Width>
__global__ void batchnorm_apply_kernel(const T* __restrict__ x, const T* __restrict__ residual, BatchNormConstants of,
                                       bool relu, Columns columns, T* __restrict__ y) {
    const ColumnThread me(columns);
    if (!me.works) return;
    const Floats<Width> mean = read<Width>(of.mean + me.column), shift = read<Width>(of.beta + me.column);
    const Floats<Width> scale = read_scale<Width>(of.gamma, of.inv_std, me.column);
    for (int i = 0; i < me.count; ++i) {
        const int64_t at = me.at(i);
        Floats<Width> value = read<Width>(x + at), added{};
        if (residual != nullptr) added = read<Width>(residual + at);
        for (int v = 0; v < Width; ++v) {
            const float sum = (value.at[v] - mean.at[v]) * scale.at[v] + shift.at[v] + added.at[v];
            value.at[v] = relu && sum < 0.0f ? 0.0f : sum;  // keeps NaN
        }
        write(y + at, value);
    }
}

// grad_y behind the relu: where y is null there was none.
template <int Width, class T>
__device__ __forceinline__ Floats<Width> read_masked(const T* grad_y, const T* y, int64_t at) {
    Floats<Width> g = read<Width>(grad_y + at);
    if (y == nullptr) return g;
    const Floats<Width> value = read<Width>(y + at);
    for (int v = 0; v < Width; ++v) g.at[v] = value.at[v] > 0.0f ? g.at[v] : 0.0f;
    return g;
}

struct BatchNormSums {
    double g, gx;  // sum(g) and sum(g (x - mean))
};

// Partial sums [chunks, C].
template <class T, int Width>
__global__ __launch_bounds__(Columns::threads,
                             4) void batchnorm_grad_sums_kernel(const T* __restrict__ grad_y, const T* __restrict__ y,
                                                                const T* __restrict__ x,
                                                                const float* __restrict__ means, Columns columns,
                                                                BatchNormSums* __restrict__ partial) {
    const ColumnThread me(columns);
    Floats<Width> mean{}, sum{}, product{};
    if (me.works) mean = read<Width>(means + me.column);
#pragma unroll 2
    for (int i = 0; i < me.count; ++i) {
        const int64_t at = me.at(i);
        const Floats<Width> g = read_masked<Width>(grad_y, y, at), value = read<Width>(x + at);
        for (int v = 0; v < Width; ++v) {
            sum.at[v] += g.at[v];
            product.at[v] += g.at[v] * (value.at[v] - mean.at[v]);
        }
    }
    double g[Width], gx[Width];
    for (int v = 0; v < Width; ++v) {
        g[v] = static_cast<double>(sum.at[v]);
        gx[v] = static_cast<double>(product.at[v]);
    }
    add_down(g, me, columns);
    add_down(gx, me, columns);
    if (!me.leads()) return;
    for (int v = 0; v < Width; ++v) partial[blockIdx.x * columns.columns + me.column + v] = {g[v], gx[v]};
}

// What the sums are written to, each [C]; grad_gamma and slope are null, with what follows them, where not wanted.
struct BatchNormGradSums {
    float *grad_gamma, *grad_beta;
    float *slope, *mean_grad;  // of grad_x with batch statistics: see batchnorm_grad_x_kernel
    double pixels;
};

// Adds up the partial sums, or, with Abs, their absolute values.
template <bool Abs>
__global__ void batchnorm_grad_finish_kernel(const BatchNormSums* __restrict__ partial, Columns columns,
                                             const float* __restrict__ inv_stds, BatchNormGradSums to) {
    const ColumnThread me(columns);
    double g[1] = {}, gx[1] = {};
    for (int i = 0; i < me.count; ++i) {
        const BatchNormSums part = partial[me.at(i)];
        g[0] += Abs ? fabs(part.g) : part.g;
        gx[0] += Abs ? fabs(part.gx) : part.gx;
    }
    add_down(g, me, columns);
    add_down(gx, me, columns);
    if (!me.leads()) return;
    const auto inv_std = static_cast<double>(inv_stds[me.column]);
    if (to.grad_gamma != nullptr) {
        to.grad_gamma[me.column] = static_cast<float>(gx[0] * inv_std);
        to.grad_beta[me.column] = static_cast<float>(g[0]);
    }
    if (to.slope != nullptr) {
        to.slope[me.column] = static_cast<float>(gx[0] * inv_std * inv_std / to.pixels);
        to.mean_grad[me.column] = static_cast<float>(g[0] / to.pixels);
    }
}

struct BatchNormGradConstants {
    const float *gamma, *mean, *inv_std;
    const float *slope, *mean_grad;  // null with running statistics
};

// grad_x = gamma inv_std (g - mean_grad - slope (x - mean)), without the last two terms where they are null, and
// grad_residual = g; either may be null. With batch statistics mean_grad = sum(g) / M and slope = inv_std^2
// sum(g (x - mean)) / M, M values per channel (Ioffe and Szegedy, 2015).
template <class T, int Width>
__global__ void batchnorm_grad_x_kernel(const T* __restrict__ grad_y, const T* __restrict__ y, const T* __restrict__ x,
                                        BatchNormGradConstants of, Columns columns, T* __restrict__ grad_x,
                                        T* __restrict__ grad_residual) {
    const ColumnThread me(columns);
    if (!me.works) return;
    const bool centered = of.slope != nullptr;
    const Floats<Width> scale = read_scale<Width>(of.gamma, of.inv_std, me.column);
    Floats<Width> mean{}, slope{}, mean_grad{};
    if (centered) {
        mean = read<Width>(of.mean + me.column);
        slope = read<Width>(of.slope + me.column);
        mean_grad = read<Width>(of.mean_grad + me.column);
    }
    for (int i = 0; i < me.count; ++i) {
        const int64_t at = me.at(i);
        Floats<Width> g = read_masked<Width>(grad_y, y, at);
        if (grad_residual != nullptr) write(grad_residual + at, g);
        if (grad_x == nullptr) continue;
        if (centered) {
            const Floats<Width> value = read<Width>(x + at);
            for (int v = 0; v < Width; ++v)
                g.at[v] = g.at[v] - mean_grad.at[v] - (value.at[v] - mean.at[v]) * slope.at[v];
        }
        for (int v = 0; v < Width; ++v) g.at[v] *= scale.at[v];
        write(grad_x + at, g);
    }
}

// One block per output channel: see Backend::fold_batchnorm.
__global__ void fold_batchnorm_kernel(const float* __restrict__ w, const float* __restrict__ gamma,
                                      const float* __restrict__ beta, const float* __restrict__ mean,
                                      const float* __restrict__ var, float eps, int64_t per_channel,
                                      float* __restrict__ w_folded, float* __restrict__ b_folded) {
    const int64_t k = blockIdx.x;
    const double deviation = sqrt(static_cast<double>(var[k]) + static_cast<double>(eps));
    const double factor = static_cast<double>(gamma[k]) / deviation;
    for (int64_t i = k * per_channel + threadIdx.x; i < (k + 1) * per_channel; i += blockDim.x)
        w_folded[i] = static_cast<float>(static_cast<double>(w[i]) * factor);
    if (threadIdx.x == 0)
        b_folded[k] = static_cast<float>(static_cast<double>(beta[k]) - static_cast<double>(mean[k]) * factor);
}

}  // namespace LETHE_CUDA
