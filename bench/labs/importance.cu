#include <algorithm>

#include "bench/labs/importance.cuh"
#include "bench/labs/importance.h"
#include "cuda/launch.h"

namespace LETHE_CUDA::labs {
namespace {

constexpr int threads = 256;

std::int64_t weights(const ConvGeometry& g) { return std::int64_t{g.filters} * g.rows * g.columns * g.channels; }

unsigned blocks(const ConvGeometry& g) { return static_cast<unsigned>((weights(g) + threads - 1) / threads); }

ConvGeometry one_image(ConvGeometry g) {
    g.images = 1;
    return g;
}

}  // namespace

std::int64_t importance_workspace(const ConvGeometry& g) {
    return std::max(weights(g) + own_conv2d_grad_w_workspace(one_image(g)), own_conv2d_grad_w_abs_workspace(g));
}

void importance_v1(const ConvGeometry& g, const float* grad_y, const float* x, float* workspace, float* omega,
                   cudaStream_t stream) {
    const std::int64_t in = std::int64_t{g.height} * g.width * g.channels;
    const std::int64_t out = std::int64_t{g.out_height} * g.out_width * g.filters;
    for (int n = 0; n < g.images; ++n) {
        own_conv2d_grad_w<float>(one_image(g), Precision::strict, grad_y + n * out, x + n * in, workspace + weights(g),
                                 workspace, stream);
        launch<add_abs_kernel>(blocks(g), threads, 0, stream, workspace, weights(g), n == 0, omega);
    }
}

void importance_v2(const ConvGeometry& g, const float* grad_y, const float* x, float* /*workspace*/, float* omega,
                   cudaStream_t stream) {
    launch<importance_v2_kernel>(blocks(g), threads, 0, stream, g, grad_y, x, omega);
}

void importance_v3(const ConvGeometry& g, const float* grad_y, const float* x, float* workspace, float* omega,
                   cudaStream_t stream) {
    own_conv2d_grad_w_abs<float>(g, Precision::strict, grad_y, x, workspace, omega, stream);
}

}  // namespace LETHE_CUDA::labs
