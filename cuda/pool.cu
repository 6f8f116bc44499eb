#include "cuda/backend.h"
#include "cuda/map.h"
#include "cuda/pool.cuh"

namespace LETHE_CUDA {
namespace {

Pooling pooling(const Shape& x, const Pool2d& op) {
    const Shape y = op.output_shape(x);
    const auto size = [](int64_t value) { return static_cast<int>(value); };
    return {size(x[1]), size(x[2]), size(x[3]), size(y[2]), size(y[3]), size(op.kernel), size(op.stride), size(op.pad)};
}

}  // namespace

Tensor CudaBackend::max_pool2d_impl(const Tensor& x, const Pool2d& op, Tensor& argmax) {
    Tensor y = empty(op.output_shape(x.shape()), x.dtype());
    argmax = empty({y.numel()}, DType::int64);
    dispatch(x.dtype(), [&]<class T>() {
        dispatch_width<T>(x.dim(1), {in<T>(x)}, [&]<int Width>() {
            launch<max_pool2d_kernel<T, Width>>(dim3(static_cast<unsigned>(y.dim(0) * y.dim(2))), block_threads, 0,
                                                stream_.get(), in<T>(x), pooling(x.shape(), op), out<T>(y),
                                                out<int64_t>(argmax));
        });
    });
    return y;
}

Tensor CudaBackend::max_pool2d_grad_impl(const Tensor& grad_y, const Tensor& argmax, const Shape& x, const Pool2d& op) {
    Tensor grad_x = empty(x, grad_y.dtype());
    dispatch(grad_y.dtype(), [&]<class T>() {
        dispatch_width<T>(x[1], {in<T>(grad_y)}, [&]<int Width>() {
            launch<max_pool2d_grad_kernel<T, Width>>(dim3(static_cast<unsigned>(x[0] * x[2])), block_threads, 0,
                                                     stream_.get(), in<T>(grad_y), in<int64_t>(argmax), pooling(x, op),
                                                     out<T>(grad_x));
        });
    });
    return grad_x;
}

Tensor CudaBackend::avg_pool2d_impl(const Tensor& x, const Pool2d& op) {
    Tensor y = empty(op.output_shape(x.shape()), x.dtype());
    dispatch(x.dtype(), [&]<class T>() {
        dispatch_width<T>(x.dim(1), {in<T>(x)}, [&]<int Width>() {
            launch<avg_pool2d_kernel<T, Width>>(dim3(static_cast<unsigned>(y.dim(0) * y.dim(2))), block_threads, 0,
                                                stream_.get(), in<T>(x), pooling(x.shape(), op), out<T>(y));
        });
    });
    return y;
}

Tensor CudaBackend::avg_pool2d_grad_impl(const Tensor& grad_y, const Shape& x, const Pool2d& op) {
    Tensor grad_x = empty(x, grad_y.dtype());
    dispatch(grad_y.dtype(), [&]<class T>() {
        dispatch_width<T>(x[1], {in<T>(grad_y)}, [&]<int Width>() {
            launch<avg_pool2d_grad_kernel<T, Width>>(dim3(static_cast<unsigned>(x[0] * x[2])), block_threads, 0,
                                                     stream_.get(), in<T>(grad_y), pooling(x, op), out<T>(grad_x));
        });
    });
    return grad_x;
}

Tensor CudaBackend::global_avg_pool_impl(const Tensor& x) {
    const int64_t area = x.dim(2) * x.dim(3);
    Tensor y = empty({x.dim(0), x.dim(1)});
    if (y.numel() == 0) return y;
    dispatch(x.dtype(), [&]<class T>() {
        dispatch_width<T>(x.dim(1), {in<T>(x)}, [&]<int Width>() {
            const Columns columns = columns_for_images(x.dim(0), area, x.dim(1), Width);
            launch<column_sum_kernel<T, Width, float>>(columns.grid(), Columns::threads, 0, stream_.get(), in<T>(x),
                                                       columns, 1.0 / static_cast<double>(area), out<float>(y));
        });
    });
    return y;
}

Tensor CudaBackend::global_avg_pool_grad_impl(const Tensor& grad_y, const Shape& x, DType dtype) {
    Tensor grad_x = empty(x, dtype);
    if (grad_x.numel() == 0) return grad_x;
    const int64_t area = x[2] * x[3];
    dispatch(dtype, [&]<class T>() {
        dispatch_width<T>(x[1], {}, [&]<int Width>() {
            const Columns columns = columns_for_images(x[0], area, x[1], Width);
            launch<global_avg_pool_grad_kernel<T, Width>>(columns.grid(), Columns::threads, 0, stream_.get(),
                                                          in<float>(grad_y), columns, 1.0f / static_cast<float>(area),
                                                          out<T>(grad_x));
        });
    });
    return grad_x;
}

}  // namespace LETHE_CUDA
