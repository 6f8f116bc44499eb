// The kernels of the PGD lab. An L2 step reads x_adv, x and the gradient and writes x_adv: 16 bytes per element. But
// two norms stand in the way, that of the gradient and that of the new perturbation, and each needs all of an image
// before its first pixel can go on. The question is where pixels wait in the meantime.
#pragma once

#include "cuda/map.cuh"
#include "tensor/ops.h"

namespace LETHE_CUDA::labs {

__device__ __forceinline__ float clamped(float value, float low, float high) { return fminf(fmaxf(value, low), high); }
__device__ __forceinline__ float stepped(float x_adv, float factor, float grad, const PgdStep& op) {
    return clamped(x_adv + factor * grad, op.low, op.high);
}
__device__ __forceinline__ float step_factor(float norm, const PgdStep& op) {
    return op.step / (norm < op.grad_floor ? op.grad_floor : norm);
}
__device__ __forceinline__ float ball_factor(float norm, const PgdStep& op) {
    return norm > op.eps ? op.eps / norm : 1.0f;
}
__device__ __forceinline__ float projected(float x, float d, float norm, const PgdStep& op) {
    return clamped(x + ball_factor(norm, op) * d, op.low, op.high);
}

// v1: an operation, a kernel: norm of the gradient (4 bytes per element), step and box (12), difference (12), norm of
// the difference (4), projection (12). 44 bytes per element instead of 16, and five launches. Expect a third of what is
// possible.
__global__ void row_norm_kernel(const float* x, std::int64_t row, float* norm) {
    const float* from = x + blockIdx.x * row;
    float squares = 0.0f;
    for (std::int64_t i = threadIdx.x; i < row; i += blockDim.x) squares += from[i] * from[i];
    squares = block_sum(squares);
    if (threadIdx.x == 0) norm[blockIdx.x] = sqrtf(squares);
}
__global__ void step_kernel(const float* grad, const float* norm, std::int64_t n, std::int64_t row, PgdStep op,
                            float* x_adv) {
    for (std::int64_t i = grid_first(); i < n; i += grid_step())
        x_adv[i] = stepped(x_adv[i], step_factor(norm[i / row], op), grad[i], op);
}
__global__ void difference_kernel(const float* a, const float* b, std::int64_t n, float* y) {
    for (std::int64_t i = grid_first(); i < n; i += grid_step()) y[i] = a[i] - b[i];
}
__global__ void project_kernel(const float* d, const float* x, const float* norm, std::int64_t n, std::int64_t row,
                               PgdStep op, float* x_adv) {
    for (std::int64_t i = grid_first(); i < n; i += grid_step()) x_adv[i] = projected(x[i], d[i], norm[i / row], op);
}

// v2: what lies between two norms becomes one kernel, a block per image: step, box, difference and its norm in one
// pass, which leaves the difference in x_adv. 4 + 16 + 12 = 32 bytes per element in three launches: 1.4 times v1.
__global__ void step_and_norm_kernel(const float* x, const float* grad, const float* grad_norm, std::int64_t row,
                                     PgdStep op, float* x_adv, float* norm) {
    const float factor = step_factor(grad_norm[blockIdx.x], op);
    float squares = 0.0f;
    for (std::int64_t i = blockIdx.x * row + threadIdx.x; i < (blockIdx.x + 1) * row; i += blockDim.x) {
        const float d = stepped(x_adv[i], factor, grad[i], op) - x[i];
        x_adv[i] = d;
        squares += d * d;
    }
    squares = block_sum(squares);
    if (threadIdx.x == 0) norm[blockIdx.x] = sqrtf(squares);
}

// v3: one kernel, in which the block of an image does everything to it. The image is 12 KB, so what the second and
// third pass read again is still in the caches: 16 bytes per element from memory, and one launch. Twice v2, if the
// caches keep what they should.
//
// v4: the same with 16 bytes per access, for a quarter of the instructions.
template <int width>
__global__ void fused_kernel(float* x_adv, const float* x, const float* grad, std::int64_t row, PgdStep op) {
    const std::int64_t begin = blockIdx.x * row, first = begin + width * threadIdx.x, end = begin + row;
    const std::int64_t stride = width * blockDim.x;
    float squares = 0.0f;
    for (std::int64_t i = first; i < end; i += stride) {
        const Floats<width> g = read<width>(grad + i);
        for (int v = 0; v < width; ++v) squares += g.at[v] * g.at[v];
    }
    const float factor = step_factor(sqrtf(block_sum(squares)), op);
    squares = 0.0f;
    for (std::int64_t i = first; i < end; i += stride) {
        const Floats<width> g = read<width>(grad + i), center = read<width>(x + i);
        Floats<width> d = read<width>(x_adv + i);
        for (int v = 0; v < width; ++v) {
            d.at[v] = stepped(d.at[v], factor, g.at[v], op) - center.at[v];
            squares += d.at[v] * d.at[v];
        }
        write(x_adv + i, d);
    }
    const float norm = sqrtf(block_sum(squares));
    for (std::int64_t i = first; i < end; i += stride) {
        const Floats<width> d = read<width>(x_adv + i), center = read<width>(x + i);
        Floats<width> value;
        for (int v = 0; v < width; ++v) value.at[v] = projected(center.at[v], d.at[v], norm, op);
        write(x_adv + i, value);
    }
}

// v5 is shipped: CudaBackend::pgd_step, see pgd_l2_kernel of cuda/pgd_step.cuh, which keeps the difference in shared
// memory between the second and the third pass. Stores do not stay in the first-level cache: v4 sends every difference
// to the second level and fetches it back, 8 bytes per element more of traffic there. Images of more than 8192 floats
// do it v4's way. The norms are added up in double. Expect 85 % of copy speed.

}  // namespace LETHE_CUDA::labs
