// The update and projection of projected gradient ascent, one kernel for a whole step (see PgdStep).
#pragma once

#include <cmath>
#include <cstdint>

#include "cuda/rows.cuh"
#include "tensor/ops.h"

namespace LETHE_CUDA {

// Comparisons are written so that NaN passes through: a broken gradient must not look like a healthy image.
__device__ __forceinline__ float clamp(float value, float low, float high) {
    value = value > high ? high : value;
    return value < low ? low : value;
}

// To the box, where it comes before the ball.
__device__ __forceinline__ float clamp_first(float value, const PgdStep& op) {
    return op.order == PgdStep::Order::box_then_ball ? clamp(value, op.low, op.high) : value;
}

// How much shared memory the perturbation of one image takes; 0: it is too long, and x_adv holds it between the passes.
__host__ __device__ constexpr int64_t pgd_shared_floats(int64_t row) {
    constexpr int64_t most = 8192;
    return row <= most ? row : 0;
}

// One block per image; grad may be null. The gradient's norm, the perturbation with its norm, the result: three passes,
// of which only the first to touch an array reads it from memory, because an image fits the first-level cache. The last
// operation is always the clamp to the box, which thus holds exactly.
__global__ void pgd_l2_kernel(float* __restrict__ x_adv, const float* __restrict__ x, const float* __restrict__ grad,
                              int64_t row, PgdStep op) {
    const int64_t begin = blockIdx.x * row, first = 4 * threadIdx.x, stride = 4 * blockDim.x;
    float* to = x_adv + begin;
    const float *origin = x + begin, *g = grad == nullptr ? nullptr : grad + begin;
    const bool aligned = is_aligned16(to) && is_aligned16(origin) && is_aligned16(g);
    float factor = 0.0f;
    if (g != nullptr) {
        const double norm = sqrt(block_sum_of(g, row, [](double value) { return value * value; }));
        const auto floor = static_cast<double>(op.grad_floor);
        factor = static_cast<float>(static_cast<double>(op.step) / (norm < floor ? floor : norm));
    }
    float* kept = pgd_shared_floats(row) > 0 ? dyn_shared<float>() : to;
    double squares = 0.0;
    for (int64_t i = first; i < row; i += stride) {
        const int64_t left = row - i;
        const Floats<4> center = read_four(origin + i, left, aligned);
        Floats<4> d = read_four(to + i, left, aligned), direction{};
        if (g != nullptr) direction = read_four(g + i, left, aligned);
        for (int v = 0; v < 4 && v < left; ++v) {
            d.at[v] = clamp_first(d.at[v] + factor * direction.at[v], op) - center.at[v];
            squares += static_cast<double>(d.at[v]) * static_cast<double>(d.at[v]);
        }
        write_four(kept + i, left, aligned, d);
    }
    const double length = sqrt(block_sum(squares)), radius = static_cast<double>(op.eps);
    const float shrink = length > radius ? static_cast<float>(radius / length) : 1.0f;
    for (int64_t i = first; i < row; i += stride) {
        const int64_t left = row - i;
        const Floats<4> d = read_four(kept + i, left, aligned), center = read_four(origin + i, left, aligned);
        Floats<4> value;
        for (int v = 0; v < 4; ++v) value.at[v] = clamp(center.at[v] + shrink * d.at[v], op.low, op.high);
        write_four(to + i, left, aligned, value);
    }
}

// One element of an L-infinity step, for map(). The sign of 0 is 0, that of NaN is NaN.
struct PgdLinf {
    PgdStep op;

    __device__ float operator()(int64_t i, float x_adv, float x) const { return (*this)(i, x_adv, x, 0.0f); }
    __device__ float operator()(int64_t, float x_adv, float x, float grad) const {
        const float step = grad > 0.0f ? op.step : (grad < 0.0f ? -op.step : grad);
        const float d = clamp(clamp_first(x_adv + step, op) - x, -op.eps, op.eps);
        return clamp(x + d, op.low, op.high);
    }
};

}  // namespace LETHE_CUDA
