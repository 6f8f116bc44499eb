#include <algorithm>

#include "bench/labs/conv2d.cuh"
#include "bench/labs/conv2d.h"
#include "cuda/conv2d_narrow.h"
#include "cuda/launch.h"

namespace LETHE_CUDA::labs {
namespace {

std::int64_t output_pixels(const ConvGeometry& g) { return std::int64_t{g.images} * g.out_height * g.out_width; }

void shipped(const ConvGeometry& g, Precision precision, const float* x, const float* w, float* y,
             cudaStream_t stream) {
    own_conv2d<float>(g, precision, x, w, nullptr, nullptr, false, y, stream);
}

}  // namespace

void conv2d_v1(const ConvGeometry& g, const float* x, const float* w, float* y, cudaStream_t stream) {
    constexpr std::int64_t threads = 256, most_blocks = 1 << 20;
    const std::int64_t blocks = (output_pixels(g) * g.filters + threads - 1) / threads;
    launch<conv2d_v1_kernel>(static_cast<unsigned>(std::min(blocks, most_blocks)), threads, 0, stream, g, x, w, y);
}

void conv2d_v2(const ConvGeometry& g, const float* x, const float* w, float* y, cudaStream_t stream) {
    const dim3 grid(static_cast<unsigned>((output_pixels(g) + v2_tile - 1) / v2_tile),
                    static_cast<unsigned>((g.filters + v2_tile - 1) / v2_tile));
    launch<conv2d_v2_kernel>(grid, dim3(v2_tile, v2_tile), 0, stream, g, x, w, y);
}

void conv2d_v3(const ConvGeometry& g, const float* x, const float* w, float* y, cudaStream_t stream) {
    shipped(g, Precision::strict, x, w, y, stream);
}

void conv2d_v4(const ConvGeometry& g, const float* x, const float* w, float* y, cudaStream_t stream) {
    shipped(g, Precision::tf32, x, w, y, stream);
}

void conv2d_v5(const ConvGeometry& g, const float* x, const float* w, float* y, cudaStream_t stream) {
    const Shape shape_of_x{g.images, g.channels, g.height, g.width},
        shape_of_w{g.filters, g.channels, g.rows, g.columns};
    const Conv2d op{g.stride, g.pad, g.groups};
    if (!narrow_conv2d<float>(shape_of_x, shape_of_w, op, Precision::tf32, x, w, nullptr, nullptr, false, y, stream))
        conv2d_v4(g, x, w, y, stream);
}

}  // namespace LETHE_CUDA::labs
