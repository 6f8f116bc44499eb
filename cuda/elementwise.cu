#include "cuda/backend.h"
#include "cuda/elementwise.cuh"
#include "cuda/map.h"

namespace LETHE_CUDA {

Tensor CudaBackend::unary_impl(Unary op, const Tensor& x) {
    Tensor y = empty(x.shape(), x.dtype());
    dispatch(x.dtype(), [&]<class T>() {
        switch (op) {
#define LETHE_CASE(op_name, functor) \
    case Unary::op_name:             \
        return map(stream_.get(), x.numel(), UnaryMap<elementwise::functor>{}, out<T>(y), in<T>(x));
            LETHE_UNARY_OPS(LETHE_CASE)
#undef LETHE_CASE
        }
    });
    return y;
}

Tensor CudaBackend::unary_grad_impl(Unary op, const Tensor& grad_y, const Tensor& x, const Tensor& y) {
    Tensor grad = empty(x.shape(), x.dtype());
    dispatch(x.dtype(), [&]<class T>() {
        switch (op) {
#define LETHE_CASE(op_name, functor)                                                                                   \
    case Unary::op_name:                                                                                               \
        return map(stream_.get(), x.numel(), UnaryGrad<elementwise::functor>{}, out<T>(grad), in<T>(grad_y), in<T>(x), \
                   in<T>(y));
            LETHE_UNARY_OPS(LETHE_CASE)
#undef LETHE_CASE
        }
    });
    return grad;
}

Tensor CudaBackend::binary_impl(Binary op, const Tensor& a, const Tensor& b) {
    Tensor y = empty(a.shape(), a.dtype());
    dispatch(a.dtype(), [&]<class T>() {
        switch (op) {
#define LETHE_CASE(op_name, functor) \
    case Binary::op_name:            \
        return map(stream_.get(), a.numel(), BinaryMap<elementwise::functor>{}, out<T>(y), in<T>(a), in<T>(b));
            LETHE_BINARY_OPS(LETHE_CASE)
#undef LETHE_CASE
        }
    });
    return y;
}

Tensor CudaBackend::binary_grad_impl(Binary op, bool second, const Tensor& grad_y, const Tensor& a, const Tensor& b,
                                     const Tensor& y) {
    Tensor grad = empty(a.shape(), a.dtype());
    dispatch(a.dtype(), [&]<class T>() {
        const auto run = [&](const auto& f) {
            map(stream_.get(), a.numel(), f, out<T>(grad), in<T>(grad_y), in<T>(a), in<T>(b), in<T>(y));
        };
        switch (op) {
#define LETHE_CASE(op_name, functor) \
    case Binary::op_name:            \
        return second ? run(BinaryGradB<elementwise::functor>{}) : run(BinaryGradA<elementwise::functor>{});
            LETHE_BINARY_OPS(LETHE_CASE)
#undef LETHE_CASE
        }
    });
    return grad;
}

Tensor CudaBackend::cast_impl(const Tensor& x, DType dtype) {
    Tensor y = empty(x.shape(), dtype);
    if (dtype == DType::bfloat16)
        map(stream_.get(), x.numel(), Copy{}, out<Bf16>(y), in<float>(x));
    else
        map(stream_.get(), x.numel(), Copy{}, out<float>(y), in<Bf16>(x));
    return y;
}

void CudaBackend::fill_impl(Tensor& x, float value) { map(stream_.get(), x.numel(), Constant{value}, out<float>(x)); }

Tensor CudaBackend::scale_impl(const Tensor& x, float factor) {
    Tensor y = empty(x.shape());
    map(stream_.get(), x.numel(), Scale{factor}, out<float>(y), in<float>(x));
    return y;
}

Tensor CudaBackend::row_scale_impl(const Tensor& x, const Tensor& factor) {
    Tensor y = empty(x.shape());
    if (x.numel() == 0) return y;
    map(stream_.get(), x.numel(), RowScale{in<float>(factor), x.numel() / x.dim(0)}, out<float>(y), in<float>(x));
    return y;
}

void CudaBackend::axpy_impl(float factor, const Tensor& x, Tensor& y) {
    map(stream_.get(), x.numel(), Axpy{factor}, out<float>(y), in<float>(x), in<float>(y));
}

void CudaBackend::abs_accumulate_impl(float factor, const Tensor& x, Tensor& y) {
    map(stream_.get(), x.numel(), AbsAccumulate{factor}, out<float>(y), in<float>(x), in<float>(y));
}

Tensor CudaBackend::relu_mask_add_impl(const Tensor& a, const Tensor& b, const Tensor& y) {
    Tensor result = empty(a.shape(), a.dtype());
    dispatch(a.dtype(), [&]<class T>() {
        if (b.defined())
            map(stream_.get(), a.numel(), ReluMaskAdd{}, out<T>(result), in<T>(a), in<T>(b), in<T>(y));
        else
            map(stream_.get(), a.numel(), ReluMask{}, out<T>(result), in<T>(a), in<T>(y));
    });
    return result;
}

}  // namespace LETHE_CUDA
