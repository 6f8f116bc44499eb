// One warp per row: for rows of some tens to thousands of floats, which may begin at any address.
#pragma once

#include <cstdint>

#include "cuda/device.cuh"

namespace LETHE_CUDA {

constexpr int row_threads = 128;

inline dim3 blocks_for_rows(std::int64_t rows) {
    constexpr std::int64_t per_block = row_threads / warp_size;
    return dim3(static_cast<unsigned>((rows + per_block - 1) / per_block));
}

// The row of the calling warp.
__device__ __forceinline__ std::int64_t warp_row() {
    return static_cast<std::int64_t>(blockIdx.x) * warps_per_block() + warp();
}

// Sum of f(i) for i in [0, n), in double, by the calling warp; each lane gets it.
template <class F>
__device__ __forceinline__ double warp_sum_of(std::int64_t n, const F& f) {
    double sum = 0.0;
    for (std::int64_t i = lane(); i < n; i += warp_size) sum += f(i);
    return warp_sum(sum);
}

}  // namespace LETHE_CUDA
