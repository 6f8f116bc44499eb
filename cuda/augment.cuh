// Random crop and mirror: every pixel of the result fetches its own.
#pragma once

#include "cuda/device.cuh"
#include "tensor/ops.h"

namespace LETHE_CUDA {

// Placements travel as an argument of the kernel (at most 4 KB): nothing to copy, nothing to wait for.
struct Placements {
    static constexpr int most = 128;
    CropFlip of[most];
};

// One image per blockIdx.y, channels-last.
__global__ void crop_flip_kernel(const float* source, float* images, int64_t height, int64_t width, int64_t channels,
                                 Placements placements) {
    const int64_t size = height * width * channels;
    const CropFlip placement = placements.of[blockIdx.y];
    source += blockIdx.y * size;
    images += blockIdx.y * size;
    for (int64_t i = grid_first(); i < size; i += grid_step()) {
        const int64_t pixel = i / channels, c = i - pixel * channels, y = pixel / width, x = pixel - y * width;
        const int64_t from_y = y + placement.down;
        const int64_t from_x = (placement.mirrored ? width - 1 - x : x) + placement.right;
        const bool inside = from_y >= 0 && from_y < height && from_x >= 0 && from_x < width;
        images[i] = inside ? source[(from_y * width + from_x) * channels + c] : 0.0f;
    }
}

}  // namespace LETHE_CUDA
