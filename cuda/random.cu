#include "cuda/backend.h"
#include "cuda/map.h"
#include "cuda/random.cuh"

namespace LETHE_CUDA {

void CudaBackend::fill_uniform_impl(Tensor& x, const Random& random, uint64_t first_item, float low, float range) {
    if (x.numel() == 0) return;
    const int64_t rows = x.dim(0), length = x.numel() / rows;
    const RandomStream numbers{random.seed(), static_cast<uint32_t>(random.purpose())};
    launch<fill_uniform_kernel>(blocks_for(rows * ((length + 3) / 4)), block_threads, 0, stream_.get(), out<float>(x),
                                rows, length, numbers, first_item, low, range);
}

Tensor CudaBackend::dropout_factors_impl(const Shape& shape, const Dropout& op) {
    Tensor factors = empty(shape);
    if (factors.numel() == 0) return factors;
    const int64_t rows = shape[0], length = factors.numel() / rows;
    const RandomStream numbers{op.random.seed(), static_cast<uint32_t>(op.random.purpose())};
    launch<dropout_factors_kernel>(blocks_for(rows * ((length + 3) / 4)), block_threads, 0, stream_.get(),
                                   out<float>(factors), rows, length, numbers, in<int64_t>(op.counter), op.p);
    return factors;
}

}  // namespace LETHE_CUDA
