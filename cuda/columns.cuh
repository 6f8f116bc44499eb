// One thread's part of a matrix [rows, columns], and the sums of its columns.
#pragma once

#include <cstdint>
#include <type_traits>

#include "cuda/columns.h"
#include "cuda/map.cuh"

namespace LETHE_CUDA {

// Its elements: for (int i = 0; i < me.count; ++i) { ... x[me.at(i)] ... }. A loop counted like this can be unrolled
// with its loads in front, which is how a memory-bound kernel hides their latency.
struct ColumnThread {
    __device__ explicit ColumnThread(const Columns& columns)
        : x(static_cast<int>(threadIdx.x) % columns.across),
          y(static_cast<int>(threadIdx.x) / columns.across),
          column((static_cast<int64_t>(blockIdx.y) * columns.across + x) * columns.width),
          works(y < columns.down && column < columns.columns),
          begin(blockIdx.x * columns.chunk),
          end(begin + columns.chunk < columns.rows ? begin + columns.chunk : columns.rows),
          first(begin + y),
          count(works && first < end ? (static_cast<int>(end - first) + columns.down - 1) / columns.down : 0),
          start(first * columns.columns + column),
          step(columns.down * columns.columns) {}

    __device__ int64_t at(int i) const { return start + i * step; }
    // Whether this thread writes the block's results for its columns.
    __device__ bool leads() const { return works && y == 0; }

    int x, y;
    int64_t column;  // the first of its columns
    bool works;
    int64_t begin, end;  // the block's rows
    int64_t first;       // its own first row, and how many there are
    int count;

private:
    int64_t start, step;
};

// Replaces each value by its sum over the threads of the same columns. All threads of the block must call.
template <int Width>
__device__ void add_down(double (&values)[Width], const ColumnThread& me, const Columns& columns) {
    __shared__ double sums[Width][Columns::threads];
    const int self = static_cast<int>(threadIdx.x);
    for (int v = 0; v < Width; ++v) sums[v][self] = values[v];
    for (int height = columns.down; height > 1;) {
        const int half = (height + 1) / 2;
        __syncthreads();
        if (me.y + half < height)
            for (int v = 0; v < Width; ++v) sums[v][self] += sums[v][self + half * columns.across];
        height = half;
    }
    __syncthreads();
    for (int v = 0; v < Width; ++v) values[v] = sums[v][me.x];
    __syncthreads();  // the next call writes sums again
}

// y [chunks, columns] = factor * the sums of each chunk's columns; partial sums are double.
template <class T, int Width, class Y>
__global__ void column_sum_kernel(const T* __restrict__ x, Columns columns, double factor, Y* __restrict__ y) {
    const ColumnThread me(columns);
    double sum[Width] = {};
#pragma unroll 4
    for (int i = 0; i < me.count; ++i) {
        const T* from = x + me.at(i);
        if constexpr (std::is_same_v<T, double>) {
            sum[0] += *from;
        } else {
            const Floats<Width> values = read<Width>(from);
            for (int v = 0; v < Width; ++v) sum[v] += static_cast<double>(values.at[v]);
        }
    }
    add_down(sum, me, columns);
    if (!me.leads()) return;
    for (int v = 0; v < Width; ++v) y[blockIdx.x * columns.columns + me.column + v] = static_cast<Y>(sum[v] * factor);
}

}  // namespace LETHE_CUDA
