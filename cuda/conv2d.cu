// Convolutions: between few channels our kernel for them; else cuDNN's plan where there is one, else our general
// kernels.
#include "cuda/backend.h"
#include "cuda/conv2d_narrow.h"
#include "cuda/conv2d_own.h"

namespace LETHE_CUDA {

Tensor CudaBackend::conv2d_impl(const Tensor& x, const Tensor& w, const Conv2d& op) {
    return conv2d_fused_impl(x, w, Tensor(), Tensor(), false, op);
}

Tensor CudaBackend::conv2d_fused_impl(const Tensor& x, const Tensor& w, const Tensor& bias, const Tensor& residual,
                                      bool relu, const Conv2d& op) {
    Tensor y = empty(op.output_shape(x.shape(), w.shape()), x.dtype());
    const bool narrow = dispatch(x.dtype(), [&]<class T>() {
        return narrow_conv2d<T>(x.shape(), w.shape(), op, precision_, in<T>(x), in<float>(w), in<float>(bias),
                                in<T>(residual), relu, out<T>(y), stream_.get());
    });
    if (narrow) return y;
    if (vendor_ != nullptr && vendor_->conv2d(x, cast(w, x.dtype()), bias, residual, relu, op, precision_, y)) return y;
    const ConvGeometry geometry = own_conv2d_geometry(x.shape(), w.shape(), op);
    dispatch(x.dtype(), [&]<class T>() {
        own_conv2d<T>(geometry, precision_, in<T>(x), in<float>(w), in<float>(bias), in<T>(residual), relu, out<T>(y),
                      stream_.get());
    });
    return y;
}

Tensor CudaBackend::conv2d_grad_x_impl(const Tensor& grad_y, const Tensor& w, const Shape& x, const Conv2d& op) {
    Tensor grad_x = empty(x, grad_y.dtype());
    const bool narrow = dispatch(grad_y.dtype(), [&]<class T>() {
        return narrow_conv2d_grad_x<T>(x, w.shape(), op, precision_, in<T>(grad_y), in<float>(w), nullptr, nullptr,
                                       out<T>(grad_x), stream_.get());
    });
    if (narrow) return grad_x;
    if (vendor_ != nullptr &&
        vendor_->conv2d_grad_x(grad_y, cast(w, grad_y.dtype()), Tensor(), Tensor(), op, precision_, grad_x))
        return grad_x;
    const ConvGeometry geometry = own_conv2d_geometry(x, w.shape(), op);
    dispatch(grad_y.dtype(), [&]<class T>() {
        own_conv2d_grad_x<T>(geometry, precision_, in<T>(grad_y), in<float>(w), nullptr, nullptr, out<T>(grad_x),
                             stream_.get());
    });
    return grad_x;
}

Tensor CudaBackend::conv2d_grad_x_masked_impl(const Tensor& grad_y, const Tensor& w, const Conv2d& op,
                                              const Tensor& skip, const Tensor& mask) {
    Tensor grad_x = empty(mask.shape(), grad_y.dtype());
    const bool narrow = dispatch(grad_y.dtype(), [&]<class T>() {
        return narrow_conv2d_grad_x<T>(mask.shape(), w.shape(), op, precision_, in<T>(grad_y), in<float>(w),
                                       in<T>(skip), in<T>(mask), out<T>(grad_x), stream_.get());
    });
    if (narrow) return grad_x;
    if (vendor_ != nullptr) {
        const Tensor weights = cast(w, grad_y.dtype());
        if (vendor_->conv2d_grad_x(grad_y, weights, skip, mask, op, precision_, grad_x)) return grad_x;
        // Where cuDNN has no plan that masks, the mask comes afterwards; of bfloat16 that would round twice.
        if (grad_y.dtype() == DType::float32 &&
            vendor_->conv2d_grad_x(grad_y, weights, Tensor(), Tensor(), op, precision_, grad_x))
            return relu_mask_add(grad_x, skip, mask);
    }
    const ConvGeometry geometry = own_conv2d_geometry(mask.shape(), w.shape(), op);
    dispatch(grad_y.dtype(), [&]<class T>() {
        own_conv2d_grad_x<T>(geometry, precision_, in<T>(grad_y), in<float>(w), in<T>(skip), in<T>(mask),
                             out<T>(grad_x), stream_.get());
    });
    return grad_x;
}

Tensor CudaBackend::conv2d_grad_w_impl(const Tensor& grad_y, const Tensor& x, const Shape& w, const Conv2d& op) {
    Tensor grad_w = empty(w);
    if (vendor_ != nullptr && vendor_->conv2d_grad_w(grad_y, x, op, precision_, grad_w)) return grad_w;
    const ConvGeometry geometry = own_conv2d_geometry(x.shape(), w, op);
    Tensor workspace = empty({own_conv2d_grad_w_workspace(geometry)});
    dispatch(x.dtype(), [&]<class T>() {
        own_conv2d_grad_w<T>(geometry, precision_, in<T>(grad_y), in<T>(x), out<float>(workspace), out<float>(grad_w),
                             stream_.get());
    });
    return grad_w;
}

// No library has this one: the sum of the magnitudes needs every sample's gradient by itself, but only for a moment.
Tensor CudaBackend::conv2d_grad_w_abs_impl(const Tensor& grad_y, const Tensor& x, const Shape& w, const Conv2d& op) {
    Tensor magnitudes = empty(w);
    const ConvGeometry geometry = own_conv2d_geometry(x.shape(), w, op);
    Tensor workspace = empty({own_conv2d_grad_w_abs_workspace(geometry)});
    dispatch(x.dtype(), [&]<class T>() {
        own_conv2d_grad_w_abs<T>(geometry, precision_, in<T>(grad_y), in<T>(x), out<float>(workspace),
                                 out<float>(magnitudes), stream_.get());
    });
    return magnitudes;
}

}  // namespace LETHE_CUDA
