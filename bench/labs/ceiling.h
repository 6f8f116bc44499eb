// A kernel that does nothing but multiply and add in registers: what this GPU's float32 units do at most.
#pragma once

#include <cstdint>

#include "cuda/target.h"

namespace LETHE_CUDA::labs {

constexpr int fma_threads = 256, fma_chains = 16;

// Floats that fma() writes: one per thread.
constexpr std::int64_t fma_results(int blocks) { return std::int64_t{blocks} * fma_threads; }
constexpr double fma_operations(int blocks, int rounds) {
    return 2.0 * fma_chains * rounds * static_cast<double>(fma_results(blocks));
}

// `rounds` multiplication-additions in each chain of each thread; the values go to `to`.
void fma(int blocks, int rounds, float* to, cudaStream_t stream);

}  // namespace LETHE_CUDA::labs
