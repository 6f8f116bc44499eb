// Rows of floats that may begin at any address and have any length, four elements per thread and access.
#pragma once

#include <cstdint>

#include "cuda/map.cuh"

namespace LETHE_CUDA {

// Four neighbours of a row that may begin anywhere and end after `left` more elements; zeros beyond its end.
__device__ __forceinline__ Floats<4> read_four(const float* from, int64_t left, bool aligned) {
    if (aligned && left >= 4) return read<4>(from);
    Floats<4> values{};
    for (int v = 0; v < 4 && v < left; ++v) values.at[v] = from[v];
    return values;
}
__device__ __forceinline__ void write_four(float* to, int64_t left, bool aligned, const Floats<4>& values) {
    if (aligned && left >= 4) return write(to, values);
    for (int v = 0; v < 4 && v < left; ++v) to[v] = values.at[v];
}

// Sum of f(x[i]), f(0) = 0, by all threads of a block; each gets it. Which thread adds which element does not depend on
// where x lies, so a row's sum is the same in every batch.
template <class F>
__device__ double block_sum_of(const float* x, int64_t n, const F& f) {
    const bool aligned = is_aligned16(x);
    double sum = 0.0;
    for (int64_t i = 4 * threadIdx.x; i < n; i += 4 * blockDim.x) {
        const Floats<4> values = read_four(x + i, n - i, aligned);
        for (int v = 0; v < 4; ++v) sum += f(static_cast<double>(values.at[v]));
    }
    return block_sum(sum);
}

}  // namespace LETHE_CUDA
