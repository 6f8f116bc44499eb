// From NCHW to NHWC and back: each image is a matrix [C, pixels], transposed tile by tile through shared memory.
#pragma once

#include "cuda/device.cuh"

namespace LETHE_CUDA {

// Few channels make a tile of many pixels: a tile always has about as many elements, and whole pixels lie side by side
// in NHWC, so that both sides of memory are read and written in long runs even for the 3 channels of a photograph.
struct LayoutTile {
    static constexpr int elements = 1024;

    int channels;  // at most 32
    int pixels;    // a multiple of 32
    int pitch;     // of a channel in shared memory

    // A warp touches 32 / channels pixels of each channel at a time; as many floats of padding after each channel put
    // all of them into different banks.
    explicit LayoutTile(int64_t image_channels)
        : channels(image_channels < 32 ? static_cast<int>(image_channels) : 32),
          pixels(elements / channels / 32 * 32),
          pitch(pixels + (32 + channels - 1) / channels) {}
    static constexpr int largest = elements + 2 * 32;  // floats of a tile with its padding
};

template <bool to_nhwc>
__global__ void layout_kernel(const float* from, float* to, int64_t channels, int64_t pixels, LayoutTile tile) {
    __shared__ float values[LayoutTile::largest];
    const int64_t channel_tiles = (channels + tile.channels - 1) / tile.channels;
    const int64_t pixel_tiles = (pixels + tile.pixels - 1) / tile.pixels;
    const int64_t column = blockIdx.x / channel_tiles, image = column / pixel_tiles;
    const int64_t first_channel = (blockIdx.x - column * channel_tiles) * tile.channels;
    const int64_t first_pixel = (column - image * pixel_tiles) * tile.pixels;
    const int own_channels = static_cast<int>(min(int64_t{tile.channels}, channels - first_channel));
    const int own_pixels = static_cast<int>(min(int64_t{tile.pixels}, pixels - first_pixel));

    // Calls move(shared, nchw, nhwc) with the three addresses of each element, in the order in which NCHW or NHWC
    // is contiguous.
    const auto in_order = [&](bool nhwc, auto&& move) {
        for (int k = static_cast<int>(threadIdx.x); k < own_channels * own_pixels; k += static_cast<int>(blockDim.x)) {
            const int c = nhwc ? k % own_channels : k / own_pixels, p = nhwc ? k / own_channels : k % own_pixels;
            const int64_t channel = first_channel + c, pixel = first_pixel + p;
            move(values[c * tile.pitch + p], (image * channels + channel) * pixels + pixel,
                 (image * pixels + pixel) * channels + channel);
        }
    };
    in_order(!to_nhwc, [&](float& cell, int64_t nchw, int64_t nhwc) { cell = from[to_nhwc ? nchw : nhwc]; });
    __syncthreads();
    in_order(to_nhwc, [&](float& cell, int64_t nchw, int64_t nhwc) { to[to_nhwc ? nhwc : nchw] = cell; });
}

}  // namespace LETHE_CUDA
