// See bench/labs/ceiling.h.
#pragma once

#include "bench/labs/ceiling.h"
#include "cuda/device.cuh"

namespace LETHE_CUDA::labs {

// Sixteen chains that do not wait for each other, so that a warp has an instruction ready in every clock. Chain j
// starts at j and tends to 1; the sum is written, so that the compiler cannot leave the work out.
__global__ void fma_kernel(int rounds, float* to) {
    float chains[fma_chains];
    for (int j = 0; j < fma_chains; ++j) chains[j] = static_cast<float>(j);
#pragma unroll 16  // next to which counting is nothing
    for (int i = 0; i < rounds; ++i)
        for (int j = 0; j < fma_chains; ++j) chains[j] = fmaf(chains[j], 0.5f, 0.5f);
    float sum = 0.0f;
    for (int j = 0; j < fma_chains; ++j) sum += chains[j];
    to[grid_first()] = sum;
}

}  // namespace LETHE_CUDA::labs
