#include "cuda/backend.h"
#include "cuda/gemm.h"

namespace LETHE_CUDA {

Tensor CudaBackend::linear_impl(const Tensor& x, const Tensor& w, const Tensor& b) {
    Tensor y = empty({x.dim(0), w.dim(0)});
    if (vendor_ != nullptr && vendor_->matmul(x, false, w, true, b, precision_, y)) return y;
    sgemm(Factors::nt, x.dim(0), w.dim(0), x.dim(1), in<float>(x), in<float>(w), in<float>(b), out<float>(y),
          stream_.get());
    return y;
}

Tensor CudaBackend::linear_grad_x_impl(const Tensor& grad_y, const Tensor& w) {
    Tensor grad_x = empty({grad_y.dim(0), w.dim(1)});
    if (vendor_ != nullptr && vendor_->matmul(grad_y, false, w, false, Tensor(), precision_, grad_x)) return grad_x;
    sgemm(Factors::nn, grad_y.dim(0), w.dim(1), w.dim(0), in<float>(grad_y), in<float>(w), nullptr, out<float>(grad_x),
          stream_.get());
    return grad_x;
}

Tensor CudaBackend::linear_grad_w_impl(const Tensor& grad_y, const Tensor& x) {
    Tensor grad_w = empty({grad_y.dim(1), x.dim(1)});
    if (vendor_ != nullptr && vendor_->matmul(grad_y, true, x, false, Tensor(), precision_, grad_w)) return grad_w;
    sgemm(Factors::tn, grad_y.dim(1), x.dim(1), x.dim(0), in<float>(grad_y), in<float>(x), nullptr, out<float>(grad_w),
          stream_.get());
    return grad_w;
}

}  // namespace LETHE_CUDA
