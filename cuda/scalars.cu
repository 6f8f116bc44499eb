#include <algorithm>

#include "cuda/backend.h"
#include "cuda/launch.h"
#include "cuda/scalars.cuh"

namespace LETHE_CUDA {

void CudaBackend::increment_impl(Tensor& counter) {
    launch<increment_kernel>(1, warp_size, 0, stream_.get(), out<int64_t>(counter));
}

void CudaBackend::set_scalars_impl(Tensor& scalars, std::span<const float> values) {
    Scalars argument{};
    std::copy(values.begin(), values.end(), argument.values);
    argument.count = static_cast<int>(values.size());
    launch<set_scalars_kernel>(1, warp_size, 0, stream_.get(), out<float>(scalars), argument);
}

}  // namespace LETHE_CUDA
