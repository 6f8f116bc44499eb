// The kernels of the importance lab. The products are those of the gradient of the whole batch, 2 N P Q K R S C
// operations; only the absolute value between the images keeps it from being one sum.
#pragma once

#include "cuda/conv2d_own.h"
#include "cuda/device.cuh"

namespace LETHE_CUDA::labs {

// v1: the shipped gradient for the weights, image by image, to memory; then this kernel. Each image costs two launches
// or more that are too small to fill a GPU, and 16 bytes per weight: 180 MB for each image of an ImageNet ResNet-18, 23
// GB for a batch of 128.
__global__ void add_abs_kernel(const float* grad, std::int64_t size, bool first, float* omega) {
    for (std::int64_t i = grid_first(); i < size; i += grid_step())
        omega[i] = (first ? 0.0f : omega[i]) + fabsf(grad[i]);
}

// v2: one kernel, one thread per weight, which keeps its sum of absolute values in a register and writes it once: 4
// bytes per weight and nothing in between, and a single launch. In exchange the tiles are gone: two loads through the
// cache per multiplication-addition, 0.25 operations per byte. Better than v1 for many images of few pixels, worse for
// large ones.
__global__ void importance_v2_kernel(ConvGeometry g, const float* grad_y, const float* x, float* omega) {
    const std::int64_t taps = std::int64_t{g.rows} * g.columns * g.channels;
    for (std::int64_t i = grid_first(); i < g.filters * taps; i += grid_step()) {
        const int filter = static_cast<int>(i / taps), tap = static_cast<int>(i % taps), c = tap % g.channels;
        const int r = tap / g.channels / g.columns - g.pad, s = tap / g.channels % g.columns - g.pad;
        float total = 0.0f;
        for (std::int64_t image = 0; image < g.images; ++image) {
            const float* of_x = x + image * g.height * g.width * g.channels;
            const float* of_y = grad_y + image * g.out_height * g.out_width * g.filters;
            float sum = 0.0f;
            for (int p = 0; p < g.out_height; ++p)
                for (int q = 0; q < g.out_width; ++q) {
                    const int row = p * g.stride + r, column = q * g.stride + s;
                    if (row < 0 || row >= g.height || column < 0 || column >= g.width) continue;
                    sum += of_y[(p * g.out_width + q) * g.filters + filter] *
                           of_x[(row * g.width + column) * g.channels + c];
                }
            total += fabsf(sum);
        }
        omega[i] = total;
    }
}

// v3 is shipped: lethe::cuda::own_conv2d_grad_w_abs, grad_w_kernel in cuda/conv2d.cuh. A block owns a tile of the
// weights (64 filters x 64 taps) and some of the images. Each image's product is added up in registers from tiles in
// shared memory, as in the gradient of a batch; then its absolute value joins a second set of registers. The weights
// are written once per chunk of images, and there are only as many chunks as it takes to fill a GPU. Expect the time of
// the gradient of the batch, plus the partly filled last step of each image.

}  // namespace LETHE_CUDA::labs
