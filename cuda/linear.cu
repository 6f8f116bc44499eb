#include "cuda/backend.h"
#include "cuda/gemm.h"

namespace LETHE_CUDA {

namespace {

Shape with_features(const Shape& rows, int64_t features) {
    return rows.rank() == 2 ? Shape{rows[0], features} : Shape{rows[0], rows[1], features};
}

}  // namespace

Tensor CudaBackend::linear_impl(const Tensor& given, const Tensor& w, const Tensor& b) {
    const Tensor x = given.as_matrix();
    Tensor y = empty({x.dim(0), w.dim(0)});
    if (vendor_ == nullptr || !vendor_->matmul(x, false, w, true, b, precision_, y))
        sgemm(Factors::nt, x.dim(0), w.dim(0), x.dim(1), in<float>(x), in<float>(w), in<float>(b), out<float>(y),
              stream_.get());
    return y.reshape(with_features(given.shape(), w.dim(0)));
}

Tensor CudaBackend::linear_grad_x_impl(const Tensor& given, const Tensor& w) {
    const Tensor grad_y = given.as_matrix();
    Tensor grad_x = empty({grad_y.dim(0), w.dim(1)});
    if (vendor_ == nullptr || !vendor_->matmul(grad_y, false, w, false, Tensor(), precision_, grad_x))
        sgemm(Factors::nn, grad_y.dim(0), w.dim(1), w.dim(0), in<float>(grad_y), in<float>(w), nullptr,
              out<float>(grad_x), stream_.get());
    return grad_x.reshape(with_features(given.shape(), w.dim(1)));
}

Tensor CudaBackend::linear_grad_w_impl(const Tensor& given_grad_y, const Tensor& given_x) {
    const Tensor grad_y = given_grad_y.as_matrix(), x = given_x.as_matrix();
    Tensor grad_w = empty({grad_y.dim(1), x.dim(1)});
    if (vendor_ == nullptr || !vendor_->matmul(grad_y, true, x, false, Tensor(), precision_, grad_w))
        sgemm(Factors::tn, grad_y.dim(1), x.dim(1), x.dim(0), in<float>(grad_y), in<float>(x), nullptr,
              out<float>(grad_w), stream_.get());
    return grad_w;
}

}  // namespace LETHE_CUDA
