// The kernels of the elementwise lab: y = (a + b) * (mask > 0). Three numbers are read and one is written per element,
// 16 bytes for one addition. Nothing but bytes counts.
#pragma once

#include "cuda/map.cuh"

namespace LETHE_CUDA::labs {

// v1: two kernels, as a framework without fusion runs them. The sum is written and read again: 12 + 12 bytes per
// element instead of 16. Expect two thirds of what is possible.
__global__ void add_kernel(std::int64_t n, const float* a, const float* b, float* y) {
    const std::int64_t i = grid_first();
    if (i < n) y[i] = a[i] + b[i];
}
__global__ void relu_mask_kernel(std::int64_t n, const float* mask, float* y) {
    const std::int64_t i = grid_first();
    if (i < n) y[i] = mask[i] > 0.0f ? y[i] : 0.0f;
}

// v2: one kernel; the sum stays in a register. 16 bytes per element, so 1.5 times the speed of v1.
__global__ void relu_mask_add_v2_kernel(std::int64_t n, const float* a, const float* b, const float* mask, float* y) {
    const std::int64_t i = grid_first();
    if (i < n) y[i] = mask[i] > 0.0f ? a[i] + b[i] : 0.0f;
}

// v3: 16 bytes per access instead of 4. The bytes are the same, but a quarter of the instructions and threads ask for
// them, and each thread has four times as many on their way: to keep 4 TB/s busy over a latency of half a microsecond,
// 2 MB must be. Expect a few per cent.
__global__ void relu_mask_add_v3_kernel(std::int64_t n, const float* a, const float* b, const float* mask, float* y) {
    const std::int64_t i = 4 * grid_first();
    if (i + 4 <= n) {
        const Pack<float> left = Pack<float>::load(a + i), right = Pack<float>::load(b + i);
        const Pack<float> sign = Pack<float>::load(mask + i);
        Pack<float> sum;
        for (int j = 0; j < 4; ++j) sum.set(j, sign.get(j) > 0.0f ? left.get(j) + right.get(j) : 0.0f);
        sum.store(y + i);
    } else {
        for (std::int64_t j = i; j < n; ++j) y[j] = mask[j] > 0.0f ? a[j] + b[j] : 0.0f;
    }
}

// v4 is shipped: CudaBackend::relu_mask_add, which is map_kernel of cuda/map.cuh with ReluMaskAdd. The same accesses;
// the threads of a grid of at most 4096 blocks loop, instead of one block per 1024 elements being started and ended
// (65536 for 2^26). The function is a parameter, so that every elementwise operation has this kernel, and arrays that
// are not aligned get one with accesses of 4 bytes. Expect 90 % of copy speed.

}  // namespace LETHE_CUDA::labs
