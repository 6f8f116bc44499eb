// Matrices in memory as operands of the tiled product (cuda/tile_product.cuh).
#pragma once

#include "cuda/tile_product.cuh"

namespace LETHE_CUDA {

// Each line lies along memory, `stride` elements after the one before: rows of A [M, depth], or B^T [N, depth].
template <class T>
struct LinesAlongMemory {
    using Value = T;
    using Line = const T*;
    static constexpr bool along_depth = true;

    const T* data;
    int lines;
    std::int64_t stride;

    __device__ __forceinline__ Line line(int i) const { return i < lines ? data + i * stride : nullptr; }
    __device__ __forceinline__ const T* at(Line line, int depth) const { return line == nullptr ? line : line + depth; }
};

// The lines lie side by side, each step in depth `stride` elements after the one before: columns of B [depth, N], or
// A^T [depth, M].
template <class T>
struct LinesSideBySide {
    using Value = T;
    using Line = const T*;
    static constexpr bool along_depth = false;

    const T* data;
    int lines;
    std::int64_t stride;

    __device__ __forceinline__ Line line(int i) const { return i < lines ? data + i : nullptr; }
    __device__ __forceinline__ const T* at(Line line, int depth) const {
        return line == nullptr ? line : line + depth * stride;
    }
};

}  // namespace LETHE_CUDA
