// The kernels of the matrix product lab. A product of n x n matrices is 2 n^3 operations on 12 n^2 bytes: for n = 4096
// that is 683 operations per byte, and a GPU that does 67 TFLOP/s on 4 TB/s needs 17. So nothing but the way there is
// in the way: how often each element is read again, and from where.
#pragma once

#include "cuda/device.cuh"

namespace LETHE_CUDA::labs {

// v1: one thread per output. A multiplication-addition takes two loads; threads of a warp share the element of A and
// read neighbouring elements of B, so the loads are coalesced. Still every output reads 2 K elements through the cache:
// 8 M N K bytes for 2 M N K operations, 0.25 operations per byte. The load units are the limit, at a few per cent of
// the peak.
__global__ void sgemm_v1_kernel(int m, int n, int k, const float* a, const float* b, float* c) {
    const int column = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
    const int row = static_cast<int>(blockIdx.y * blockDim.y + threadIdx.y);
    if (row >= m || column >= n) return;
    float sum = 0.0f;
    for (int i = 0; i < k; ++i) sum += a[std::int64_t{row} * k + i] * b[std::int64_t{i} * n + column];
    c[std::int64_t{row} * n + column] = sum;
}

// v2: a block brings square tiles of A and B to shared memory, where each element serves 32 threads: 32 times fewer
// reads of the caches and of memory, 8 operations per byte of theirs. What is left is shared memory itself: two loads
// per multiplication-addition, and it delivers 32 words per clock where the arithmetic units could take 256. Expect an
// eighth of the peak.
constexpr int v2_tile = 32;

__global__ void sgemm_v2_kernel(int m, int n, int k, const float* a, const float* b, float* c) {
    __shared__ float a_tile[v2_tile][v2_tile], b_tile[v2_tile][v2_tile];
    const int x = static_cast<int>(threadIdx.x), y = static_cast<int>(threadIdx.y);
    const int row = static_cast<int>(blockIdx.y) * v2_tile + y, column = static_cast<int>(blockIdx.x) * v2_tile + x;
    float sum = 0.0f;
    for (int first = 0; first < k; first += v2_tile) {
        a_tile[y][x] = row < m && first + x < k ? a[std::int64_t{row} * k + first + x] : 0.0f;
        b_tile[y][x] = first + y < k && column < n ? b[std::int64_t{first + y} * n + column] : 0.0f;
        __syncthreads();
        for (int i = 0; i < v2_tile; ++i) sum += a_tile[y][i] * b_tile[i][x];
        __syncthreads();
    }
    if (row < m && column < n) c[std::int64_t{row} * n + column] = sum;
}

// v3: each thread computes 4 x 4 outputs. Per step of depth it reads 4 + 4 words of shared memory for 16
// multiplication-additions instead of 2 for 1: four times fewer. Tiles grow to 64 x 64 with the same 256 threads, which
// halves the reads of the caches again. Expect about half of the peak: the block waits for memory at every step, and
// each access moves a single word.
constexpr int v3_tile = 64, v3_depth = 16, v3_side = 16, v3_each = v3_tile / v3_side;

__global__ void sgemm_v3_kernel(int m, int n, int k, const float* a, const float* b, float* c) {
    __shared__ float a_tile[v3_depth][v3_tile + 1], b_tile[v3_depth][v3_tile];
    const int thread = static_cast<int>(threadIdx.x), x = thread % v3_side, y = thread / v3_side;
    const int first_row = static_cast<int>(blockIdx.y) * v3_tile, first_column = static_cast<int>(blockIdx.x) * v3_tile;
    float sums[v3_each][v3_each] = {};
    for (int first = 0; first < k; first += v3_depth) {
        for (int i = thread; i < v3_tile * v3_depth; i += v3_side * v3_side) {
            const int row = first_row + i / v3_depth, a_depth = first + i % v3_depth;
            const int column = first_column + i % v3_tile, b_depth = first + i / v3_tile;
            a_tile[i % v3_depth][i / v3_depth] = row < m && a_depth < k ? a[std::int64_t{row} * k + a_depth] : 0.0f;
            b_tile[i / v3_tile][i % v3_tile] = b_depth < k && column < n ? b[std::int64_t{b_depth} * n + column] : 0.0f;
        }
        __syncthreads();
        for (int depth = 0; depth < v3_depth; ++depth) {
            float rows[v3_each], columns[v3_each];
            for (int i = 0; i < v3_each; ++i) rows[i] = a_tile[depth][y + i * v3_side];
            for (int j = 0; j < v3_each; ++j) columns[j] = b_tile[depth][x + j * v3_side];
            for (int i = 0; i < v3_each; ++i)
                for (int j = 0; j < v3_each; ++j) sums[i][j] += rows[i] * columns[j];
        }
        __syncthreads();
    }
#pragma unroll
    for (int i = 0; i < v3_each; ++i)
#pragma unroll
        for (int j = 0; j < v3_each; ++j) {
            const int row = first_row + y + i * v3_side, column = first_column + x + j * v3_side;
            if (row < m && column < n) c[std::int64_t{row} * n + column] = sums[i][j];
        }
}

// v4 is shipped: lethe::cuda::sgemm, made of product_kernel in cuda/tile_product.cuh. It moves 16 bytes per access
// where alignment allows, both to shared memory and from it; fetches the next step into registers while this one is
// multiplied, with one barrier per step instead of two; gives a thread 8 x 4 outputs (12 words for 32
// multiplication-additions) when the matrices are large; and lays the words out so that neither writing nor reading
// meets in a bank. Expect three quarters of the peak and more.

}  // namespace LETHE_CUDA::labs
