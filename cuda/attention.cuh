// Multi-head self-attention as products of small matrices, many at a time: see Backend::attention.
#pragma once

#include <cmath>
#include <cstdint>

#include "cuda/gemm.cuh"
#include "cuda/warp_rows.cuh"

namespace LETHE_CUDA {

// Where the matrix of each head of each sample lies: rows `stride` elements apart.
template <class T>
struct HeadMatrix {
    T* data;
    std::int64_t sample_step, head_step, stride;

    __device__ __forceinline__ T* at(int task, int heads) const {
        return data + task / heads * sample_step + task % heads * head_step;
    }
};

// Writes sums to a matrix whose rows are `stride` elements apart.
struct StridedRows {
    float* to;
    int rows, columns;
    std::int64_t stride;

    template <int n>
    __device__ __forceinline__ void put(int row, int column, const float* sums) const {
        if (row >= rows) return;
        for (int i = 0; i < n; ++i)
            if (column + i < columns) to[row * stride + column + i] = sums[i];
    }
};

struct HeadProduct {
    int heads, rows, columns, depth;
    int tiles_across, tiles;  // of one matrix
};

// C = A B for each task, a sample's head; A and B say how their lines lie (cuda/gemm.cuh).
template <class Product, int width, template <class> class A, template <class> class B>
__global__ __launch_bounds__(product_threads, 2) void head_product_kernel(HeadMatrix<const float> a,
                                                                          HeadMatrix<const float> b,
                                                                          HeadMatrix<float> c, HeadProduct of) {
    using Tile = typename Product::Tile;
    const int task = static_cast<int>(blockIdx.x) / of.tiles, tile = static_cast<int>(blockIdx.x) % of.tiles;
    const int row = tile / of.tiles_across * Tile::rows, column = tile % of.tiles_across * Tile::columns;
    Product product;
    add_product<width>(product, A<float>{a.at(task, of.heads), of.rows, a.stride},
                       B<float>{b.at(task, of.heads), of.columns, b.stride}, row, column, 0, of.depth);
    product.write(StridedRows{c.at(task, of.heads), of.rows, of.columns, c.stride}, row, column);
}

// Each row becomes softmax(scale * row). The largest is taken out, so that nothing overflows.
__global__ void softmax_rows_kernel(float* x, float scale, int64_t rows, int64_t columns) {
    const int64_t row = warp_row();
    if (row >= rows) return;
    float* z = x + row * columns;
    float top = -INFINITY;
    for (int64_t c = lane(); c < columns; c += warp_size) top = z[c] > top ? z[c] : top;  // NaN: exp meets it again
    top = warp_max(top);
    const double sum = warp_sum_of(columns, [&](int64_t c) { return static_cast<double>(expf(scale * (z[c] - top))); });
    const auto inverse = static_cast<float>(1.0 / sum);
    for (int64_t c = lane(); c < columns; c += warp_size) z[c] = expf(scale * (z[c] - top)) * inverse;
}

// Each row of g, the gradient for the softmax p, becomes that for the row that p was made of.
__global__ void softmax_rows_grad_kernel(const float* __restrict__ p, float* g, float scale, int64_t rows,
                                         int64_t columns) {
    const int64_t row = warp_row();
    if (row >= rows) return;
    const float* ps = p + row * columns;
    float* gs = g + row * columns;
    const auto mean = static_cast<float>(
        warp_sum_of(columns, [&](int64_t c) { return static_cast<double>(ps[c]) * static_cast<double>(gs[c]); }));
    for (int64_t c = lane(); c < columns; c += warp_size) gs[c] = scale * ps[c] * (gs[c] - mean);
}

}  // namespace LETHE_CUDA
