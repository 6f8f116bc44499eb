// Sums: over everything and over each row; those over columns are in cuda/columns.cuh. Added up in double and in an
// order that depends on the sizes alone.
#pragma once

#include <cmath>
#include <cstdint>

#include "cuda/rows.cuh"

namespace LETHE_CUDA {

// One partial sum per chunk.
__global__ void sum_kernel(const float* __restrict__ x, int64_t n, int64_t chunk, double* __restrict__ partial) {
    const int64_t begin = blockIdx.x * chunk, count = n - begin < chunk ? n - begin : chunk;
    const double sum = block_sum_of(x + begin, count, [](double value) { return value; });
    if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

// One block.
__global__ void finish_sum_kernel(const double* __restrict__ partial, int64_t count, float* __restrict__ y) {
    double sum = 0.0;
    for (int64_t i = threadIdx.x; i < count; i += blockDim.x) sum += partial[i];
    sum = block_sum(sum);
    if (threadIdx.x == 0) *y = static_cast<float>(sum);
}

// One block per row.
__global__ void row_norm_kernel(const float* __restrict__ x, int64_t row, float* __restrict__ norms) {
    const double squares = block_sum_of(x + blockIdx.x * row, row, [](double value) { return value * value; });
    if (threadIdx.x == 0) norms[blockIdx.x] = static_cast<float>(sqrt(squares));
}

}  // namespace LETHE_CUDA
