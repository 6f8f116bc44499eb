// The input normalisation per element, for map_kernel. Images are channels-last: element i belongs to channel i % C.
#pragma once

#include "cuda/device.cuh"

namespace LETHE_CUDA {

// Products with the reciprocal, as the CPU computes them, so that both round alike.
struct Normalize {
    const float *mean, *std;
    int64_t channels;
    __device__ float operator()(int64_t i, float x) const {
        const int64_t c = i % channels;
        return (x - mean[c]) * (1.0f / std[c]);
    }
};
struct NormalizeGrad {
    const float* std;
    int64_t channels;
    __device__ float operator()(int64_t i, float g) const { return g * (1.0f / std[i % channels]); }
};

}  // namespace LETHE_CUDA
