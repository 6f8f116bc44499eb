#include "cuda/backend.h"
#include "cuda/layout.cuh"
#include "cuda/map.h"

namespace LETHE_CUDA {
namespace {

template <bool to_nhwc>
void convert(cudaStream_t stream, const float* from, float* to, const Shape& x) {
    if (x.numel() == 0) return;
    const int64_t channels = x[1], pixels = x[2] * x[3];
    const LayoutTile tile(channels);
    const int64_t blocks =
        x[0] * ((channels + tile.channels - 1) / tile.channels) * ((pixels + tile.pixels - 1) / tile.pixels);
    launch<layout_kernel<to_nhwc>>(static_cast<unsigned>(blocks), block_threads, 0, stream, from, to, channels, pixels,
                                   tile);
}

}  // namespace

Tensor CudaBackend::nchw_to_nhwc_impl(const Tensor& matrix, const Shape& shape) {
    Tensor x = empty(shape);
    convert<true>(stream_.get(), in<float>(matrix), out<float>(x), shape);
    return x;
}

Tensor CudaBackend::nhwc_to_nchw_impl(const Tensor& x) {
    Tensor matrix = empty({x.dim(0) * x.dim(1), x.dim(2) * x.dim(3)});
    convert<false>(stream_.get(), in<float>(x), out<float>(matrix), x.shape());
    return matrix;
}

}  // namespace LETHE_CUDA
