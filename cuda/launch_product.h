// How the host starts a tiled product (cuda/tile_product.cuh).
#pragma once

#include <limits>

#include "cuda/launch.h"
#include "cuda/tile_product.cuh"

namespace LETHE_CUDA {

constexpr int wide_run = 4;  // words that a thread moves at once where alignment allows

inline std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

// Kernels count lines, depths and tiles in ints.
inline int product_size(std::int64_t size, const char* op) {
    check(size >= 0 && size < std::numeric_limits<int>::max() / 2, op, ": a size of ", size, " is more than it can do");
    return static_cast<int>(size);
}

// Null is aligned: it stands for what is left out.
template <class... T>
bool aligned(const T*... pointers) {
    return (is_aligned16(pointers) && ...);
}

template <class T>
Epilogue<T> make_epilogue(T* to, int rows, int columns, const float* bias, const T* added, const T* mask, bool relu) {
    return {to, rows, columns, bias, added, mask, relu, columns % 4 == 0 && aligned(to, added, mask)};
}

template <class Product>
std::int64_t tiles(std::int64_t rows, std::int64_t columns) {
    return ceil_div(rows, Product::Tile::rows) * ceil_div(columns, Product::Tile::columns);
}

template <class Product, int width, class A, class B, class T>
void launch_product(const A& a, const B& b, int depth, const Epilogue<T>& to, cudaStream_t stream) {
    const int tiles_across = static_cast<int>(ceil_div(to.columns, Product::Tile::columns));
    launch<product_kernel<Product, width, A, B, T>>(static_cast<unsigned>(tiles<Product>(to.rows, to.columns)),
                                                    product_threads, 0, stream, a, b, depth, tiles_across, to);
}

}  // namespace LETHE_CUDA
