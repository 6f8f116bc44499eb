#include "cuda/backend.h"
#include "cuda/map.h"
#include "cuda/tokens.cuh"

namespace LETHE_CUDA {

Tensor CudaBackend::tokens_impl(const Tensor& patches, const Tensor& class_token, const Tensor& position) {
    const int64_t features = patches.dim(1);
    Tensor y = empty({patches.dim(0), position.dim(1), features});
    dispatch(patches.dtype(), [&]<class T>() {
        map(stream_.get(), y.numel(),
            Tokens<T>{in<T>(patches), in<float>(class_token), in<float>(position), position.numel(), features},
            out<float>(y));
    });
    return y;
}

Tensor CudaBackend::tokens_grad_impl(const Tensor& grad_y, const Shape& patches, DType dtype) {
    Tensor grad = empty(patches, dtype);
    dispatch(dtype, [&]<class T>() {
        map(stream_.get(), grad.numel(), TokensGrad{in<float>(grad_y), grad_y.dim(1) * patches[1], patches[1]},
            out<T>(grad));
    });
    return grad;
}

}  // namespace LETHE_CUDA
