// Single values in device memory: what a recorded step reads, written without waiting.
#pragma once

#include "cuda/device.cuh"

namespace LETHE_CUDA {

// Travels as an argument of the kernel, which the driver copies when the kernel is launched.
struct Scalars {
    float values[4];
    int count;
};

__global__ void set_scalars_kernel(float* to, Scalars scalars) {
    const int i = static_cast<int>(threadIdx.x);
    if (i < scalars.count) to[i] = scalars.values[i];
}

__global__ void increment_kernel(int64_t* counter) {
    if (threadIdx.x == 0) ++*counter;
}

}  // namespace LETHE_CUDA
