#include "cuda/backend.h"
#include "cuda/map.h"
#include "cuda/shortcut_a.cuh"

namespace LETHE_CUDA {
namespace {

ShortcutA geometry(const Shape& x, const Shape& y, int64_t stride) {
    return {x[2], x[3], x[1], y[2], y[3], y[1], (y[1] - x[1]) / 2, stride};
}

template <class T>
bool in_packs(const ShortcutA& s, const T* from, const T* to) {
    constexpr int64_t size = Pack<T>::size;
    return s.channels % size == 0 && s.padded_channels % size == 0 && s.before % size == 0 && is_aligned16(from) &&
           is_aligned16(to);
}

}  // namespace

Tensor CudaBackend::shortcut_a_impl(const Tensor& x, int64_t channels, int64_t stride) {
    const int64_t rows = (x.dim(2) + stride - 1) / stride, columns = (x.dim(3) + stride - 1) / stride;
    Tensor y = empty({x.dim(0), channels, rows, columns}, x.dtype());
    const ShortcutA s = geometry(x.shape(), y.shape(), stride);
    dispatch(x.dtype(), [&]<class T>() {
        const T* from = in<T>(x);
        T* to = out<T>(y);
        const int64_t n = y.numel();
        constexpr int size = Pack<T>::size;
        if (in_packs(s, from, to))
            launch<shortcut_a_kernel<size, T>>(blocks_for(n / size), block_threads, 0, stream_.get(), from, to, n, s);
        else
            launch<shortcut_a_kernel<1, T>>(blocks_for(n), block_threads, 0, stream_.get(), from, to, n, s);
    });
    return y;
}

Tensor CudaBackend::shortcut_a_grad_impl(const Tensor& grad_y, const Shape& x, int64_t stride) {
    Tensor grad_x = empty(x, grad_y.dtype());
    const ShortcutA s = geometry(x, grad_y.shape(), stride);
    dispatch(grad_y.dtype(), [&]<class T>() {
        const T* from = in<T>(grad_y);
        T* to = out<T>(grad_x);
        const int64_t n = x.numel();
        constexpr int size = Pack<T>::size;
        if (in_packs(s, from, to))
            launch<shortcut_a_grad_kernel<size, T>>(blocks_for(n / size), block_threads, 0, stream_.get(), from, to, n,
                                                    s);
        else
            launch<shortcut_a_grad_kernel<1, T>>(blocks_for(n), block_threads, 0, stream_.get(), from, to, n, s);
    });
    return grad_x;
}

}  // namespace LETHE_CUDA
