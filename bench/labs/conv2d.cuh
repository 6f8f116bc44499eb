// The kernels of the convolution lab. Each input element takes part in R S K / stride^2 products: a 3x3 layer with 64
// channels in and out does 144 operations per byte of x and y, far more than memory asks for. As with the matrix
// product the question is where operands are read again from.
#pragma once

#include "cuda/conv2d_own.h"
#include "cuda/device.cuh"

namespace LETHE_CUDA::labs {

// The place in x that output pixel `pixel` sees through tap (r, s): its first channel, or null in the padding.
__device__ __forceinline__ const float* seen(const ConvGeometry& g, const float* x, std::int64_t pixel, int r, int s) {
    const std::int64_t area = std::int64_t{g.out_height} * g.out_width, image = pixel / area;
    const int in_image = static_cast<int>(pixel % area);
    const int row = in_image / g.out_width * g.stride + r - g.pad;
    const int column = in_image % g.out_width * g.stride + s - g.pad;
    if (row < 0 || row >= g.height || column < 0 || column >= g.width) return nullptr;
    return x + ((image * g.height + row) * g.width + column) * g.channels;
}

__device__ __forceinline__ std::int64_t pixels(const ConvGeometry& g) {
    return std::int64_t{g.images} * g.out_height * g.out_width;
}

// v1: one thread per output, filters fastest, as they lie in y. Threads of a warp read the same element of x, and
// elements of w that are R S C apart: 32 cache lines per load. 8 bytes through the cache per multiplication-addition.
__global__ void conv2d_v1_kernel(ConvGeometry g, const float* x, const float* w, float* y) {
    const std::int64_t taps = std::int64_t{g.rows} * g.columns * g.channels;
    for (std::int64_t i = grid_first(); i < pixels(g) * g.filters; i += grid_step()) {
        float sum = 0.0f;
        for (int r = 0; r < g.rows; ++r)
            for (int s = 0; s < g.columns; ++s) {
                const float* from = seen(g, x, i / g.filters, r, s);
                if (from == nullptr) continue;
                const float* weight = w + i % g.filters * taps + (r * g.columns + s) * g.channels;
                for (int c = 0; c < g.channels; ++c) sum += from[c] * weight[c];
            }
        y[i] = sum;
    }
}

// v2: a block of 32 x 32 threads computes 32 pixels of 32 filters. For each tap and each 32 channels it brings 32 x 32
// elements of x and of w to shared memory, along the channels and so coalesced, and each then serves 32 threads: 32
// times fewer reads of the caches. Limits: two loads from shared memory per multiplication-addition, as in v2 of the
// matrix product; and layers with 16 channels or filters fill half of a tile, the 3 of an image a tenth.
constexpr int v2_tile = 32;

__global__ void conv2d_v2_kernel(ConvGeometry g, const float* x, const float* w, float* y) {
    __shared__ float seen_tile[v2_tile][v2_tile], weight_tile[v2_tile][v2_tile + 1];  // + 1: columns in different banks
    const int across = static_cast<int>(threadIdx.x), down = static_cast<int>(threadIdx.y);
    const std::int64_t taps = std::int64_t{g.rows} * g.columns * g.channels;
    const std::int64_t pixel = std::int64_t{blockIdx.x} * v2_tile + down;
    const int first_filter = static_cast<int>(blockIdx.y) * v2_tile;
    const float* weights = first_filter + down < g.filters ? w + (first_filter + down) * taps : nullptr;
    float sum = 0.0f;
    for (int tap = 0; tap < g.rows * g.columns; ++tap) {
        const float* from = pixel < pixels(g) ? seen(g, x, pixel, tap / g.columns, tap % g.columns) : nullptr;
        for (int first = 0; first < g.channels; first += v2_tile) {
            const int c = first + across;
            seen_tile[down][across] = from != nullptr && c < g.channels ? from[c] : 0.0f;
            weight_tile[down][across] = weights != nullptr && c < g.channels ? weights[tap * g.channels + c] : 0.0f;
            __syncthreads();
            for (int i = 0; i < v2_tile; ++i) sum += seen_tile[down][i] * weight_tile[across][i];
            __syncthreads();
        }
    }
    if (pixel < pixels(g) && first_filter + across < g.filters) y[pixel * g.filters + first_filter + across] = sum;
}

// v3 is shipped: lethe::cuda::own_conv2d with Precision::strict. It is the matrix product of v4 in the lab beside this
// one, [pixels, taps C] * [taps C, K], whose left operand is never stored: cuda/conv2d.cuh works out where each run of
// 16 bytes lies. A thread keeps 8 x 4 outputs (8 x 1 for few filters) in registers; (tap, channel) is one depth, so
// that 16 or 3 channels leave no gaps. Expect half of the float32 peak for 64 filters and more.
//
// v4 is shipped: the same with Precision::tf32. Only what multiplies the tiles in shared memory differs: tensor cores
// (cuda/mma.cuh) do 16 x 8 x 8 products in one instruction of a warp. The peak is 7 times that of v3; reading fragments
// from shared memory becomes the limit. Expect 2 to 4 times v3, for products of 10 bits of mantissa.
//
// v5 is shipped: lethe::cuda::narrow_conv2d, for 3x3 layers from 16 to 16 channels (in bfloat16 of up to 32; other
// layers it leaves to cuDNN or v4, and does not appear with them). With so few, memory is the limit again, and what v4
// loses is spent on gathering each pixel 9 times. v5 brings a tile of pixels with its border to shared memory once; the
// taps are products of the same words at moved addresses. Expect the time of the bytes of x and y, within a factor
// of 2.

}  // namespace LETHE_CUDA::labs
