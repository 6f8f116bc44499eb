#include "cuda/backend.h"
#include "cuda/map.h"
#include "cuda/normalize.cuh"

namespace LETHE_CUDA {

Tensor CudaBackend::normalize_impl(const Tensor& x, const Tensor& mean, const Tensor& std) {
    Tensor y = empty(x.shape(), precision() == Precision::bf16 ? DType::bfloat16 : DType::float32);
    const Normalize f{in<float>(mean), in<float>(std), x.dim(1)};
    dispatch(y.dtype(), [&]<class T>() { map(stream_.get(), x.numel(), f, out<T>(y), in<float>(x)); });
    return y;
}

Tensor CudaBackend::normalize_grad_impl(const Tensor& grad_y, const Tensor& std) {
    Tensor grad_x = empty(grad_y.shape());
    const NormalizeGrad f{in<float>(std), grad_y.dim(1)};
    dispatch(grad_y.dtype(),
             [&]<class T>() { map(stream_.get(), grad_y.numel(), f, out<float>(grad_x), in<T>(grad_y)); });
    return grad_x;
}

}  // namespace LETHE_CUDA
