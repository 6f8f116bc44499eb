// Convolutions as tiled products (cuda/tile_product.cuh) whose operands are gathered from the images on the way to
// shared memory: no patch matrix is ever stored. With pixels counted over all images and taps (row, column, channel),
//     y      [pixels of y, K] = patches of x      [pixels of y, taps C] * w [taps C, K]
//     grad_x [pixels of x, C] = patches of grad_y [pixels of x, taps K] * w [taps K, C]
//     grad_w [K, taps C]      = grad_y [K, pixels of y] * patches of x  [pixels of y, taps C]
#pragma once

#include <climits>

#include "cuda/conv2d_own.h"
#include "cuda/divisor.cuh"
#include "cuda/gemm.cuh"

namespace LETHE_CUDA {

constexpr int nowhere = INT_MIN / 2;  // a row so far outside that every tap of it is

// A pixel's window in the images that are gathered from, and one place in it.
template <class T>
struct Window {
    const T* image;
    int row, column;
};
struct Tap {
    int row, column, channel;
};

// Taps in the order of memory of the weights: channel fastest.
struct Taps {
    Taps(int channels, int columns) : by_channels(channels), by_columns(columns) {}
    Divisor by_channels, by_columns;

    __device__ __forceinline__ Tap split(int i) const {
        Tap tap;
        tap.row = by_columns.split(by_channels.split(i, tap.channel), tap.column);
        return tap;
    }
};

// Pixels counted over all images.
struct Pixels {
    Pixels(int images, int height, int width)
        : count(images * height * width), by_area(height * width), by_width(width) {}
    int count;
    Divisor by_area, by_width;

    __device__ __forceinline__ int split(int i, int& row, int& column) const {
        int in_image;
        const int image = by_area.split(i, in_image);
        row = by_width.split(in_image, column);
        return image;
    }
};

// What output pixel i sees of x: rows of the patch matrix as lines (forward), or its columns (gradient for weights).
template <class T>
struct Patches {
    using Value = T;

    const T* x;
    ConvGeometry g;
    Pixels pixels{g.images, g.out_height, g.out_width};
    Taps taps{g.channels, g.columns};

    __device__ __forceinline__ Window<T> window(int i) const {
        int row, column;
        const std::int64_t image = pixels.split(i, row, column);
        return {x + image * g.height * g.width * g.channels, row * g.stride - g.pad, column * g.stride - g.pad};
    }
    __device__ __forceinline__ const T* at(const Window<T>& window, const Tap& tap) const {
        const int row = window.row + tap.row, column = window.column + tap.column;
        if (row < 0 || row >= g.height || column < 0 || column >= g.width) return nullptr;
        return window.image + (row * g.width + column) * g.channels + tap.channel;
    }
};

template <class T>
struct PatchRows : Patches<T> {
    using Line = Window<T>;
    static constexpr bool along_depth = true;

    __device__ __forceinline__ Line line(int i) const {
        return i < this->pixels.count ? this->window(i) : Line{nullptr, nowhere, 0};
    }
    __device__ __forceinline__ const T* at(const Line& line, int depth) const {
        return Patches<T>::at(line, this->taps.split(depth));
    }
};

template <class T>
struct PatchColumns : Patches<T> {
    using Line = Tap;
    static constexpr bool along_depth = false;

    __device__ __forceinline__ Line line(int i) const {
        return i < this->g.rows * this->g.columns * this->g.channels ? this->taps.split(i) : Tap{nowhere, 0, 0};
    }
    __device__ __forceinline__ const T* at(const Line& line, int depth) const {
        return Patches<T>::at(this->window(depth), line);
    }
};

// What pixel i of x was seen by: the outputs (row + pad - r) / stride of every tap r for which that is a whole number.
template <class T>
struct GradPatchRows {
    using Value = T;
    using Line = Window<T>;
    static constexpr bool along_depth = true;

    const T* grad_y;
    ConvGeometry g;
    Pixels pixels{g.images, g.height, g.width};
    Taps taps{g.filters, g.columns};
    Divisor by_stride{g.stride};

    __device__ __forceinline__ Line line(int i) const {
        if (i >= pixels.count) return {nullptr, nowhere, 0};
        int row, column;
        const std::int64_t image = pixels.split(i, row, column);
        return {grad_y + image * g.out_height * g.out_width * g.filters, row + g.pad, column + g.pad};
    }
    __device__ __forceinline__ const T* at(const Line& line, int depth) const {
        const Tap tap = taps.split(depth);
        const int down = line.row - tap.row, right = line.column - tap.column;
        if (down < 0 || right < 0) return nullptr;
        int down_rest, right_rest;
        const int row = by_stride.split(down, down_rest), column = by_stride.split(right, right_rest);
        if (down_rest != 0 || right_rest != 0 || row >= g.out_height || column >= g.out_width) return nullptr;
        return line.image + (row * g.out_width + column) * g.filters + tap.channel;
    }
};

// The weights as the gradient for x needs them: a line per channel, depth (row, column, filter).
struct WeightsByChannel {
    using Value = float;
    using Line = const float*;
    static constexpr bool along_depth = false;

    const float* w;
    ConvGeometry g;
    Divisor by_filters{g.filters};

    __device__ __forceinline__ Line line(int i) const { return i < g.channels ? w + i : nullptr; }
    __device__ __forceinline__ const float* at(Line line, int depth) const {
        int filter;
        const int place = by_filters.split(depth, filter);
        const std::int64_t stride = static_cast<std::int64_t>(g.rows) * g.columns * g.channels;
        return line == nullptr ? line : line + filter * stride + place * g.channels;
    }
};

// How the pixels are divided among blocks. A group of pixels is what one product adds up; a chunk of groups is what one
// block does, for its tile of the weights. Both depend on the shapes only, so that the bits do not depend on the GPU.
struct PixelChunks {
    std::int64_t pixels_per_group;
    int groups, groups_per_chunk, chunks;
};

// Each chunk's sum of its groups' gradients for the weights, or of their absolute values: `to` is [chunks, K, taps C].
// Block (tile, chunk).
template <class Product, int width, bool absolute, class T>
__global__ __launch_bounds__(product_threads, 2) void grad_w_kernel(LinesSideBySide<T> grad_y, PatchColumns<T> patches,
                                                                    PixelChunks split, int tiles_across,
                                                                    Epilogue<float> to) {
    using Tile = typename Product::Tile;
    const int tile = static_cast<int>(blockIdx.x), chunk = static_cast<int>(blockIdx.y);
    const int row = tile / tiles_across * Tile::rows, column = tile % tiles_across * Tile::columns;
    const int first = chunk * split.groups_per_chunk, last = min(first + split.groups_per_chunk, split.groups);
    Product total;
    for (int group = first; group < last; ++group) {
        const std::int64_t begin = group * split.pixels_per_group;
        const std::int64_t end = min(begin + split.pixels_per_group, static_cast<std::int64_t>(patches.pixels.count));
        Product part;
        add_product<width>(part, grad_y, patches, row, column, static_cast<int>(begin), static_cast<int>(end));
        for (int i = 0; i < Product::count; ++i) total.sums[i] += absolute ? fabsf(part.sums[i]) : part.sums[i];
        __syncthreads();
    }
    to.to += static_cast<std::int64_t>(chunk) * to.rows * to.columns;
    total.write(to, row, column);
}

// The chunks' sums, in order.
__global__ void add_chunks_kernel(const float* partial, int chunks, std::int64_t size, float* to) {
    for (std::int64_t i = grid_first(); i < size; i += grid_step()) {
        float sum = partial[i];
        for (int chunk = 1; chunk < chunks; ++chunk) sum += partial[chunk * size + i];
        to[i] = sum;
    }
}

}  // namespace LETHE_CUDA
