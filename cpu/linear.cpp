#include "cpu/backend.h"
#include "cpu/chunks.h"

namespace lethe {

Tensor CpuBackend::linear_impl(const Tensor& x, const Tensor& w, const Tensor& b) {
    const int64_t in = x.dim(1), out = w.dim(0);
    Tensor y = Tensor::empty({x.dim(0), out});
    const float *xs = x.data(), *ws = w.data(), *bs = b.data();
    float* to = y.mutable_data();
    for_chunks(x.dim(0), images_per_chunk, [&](int64_t begin, int64_t end) {
        kernels_.linear(xs + begin * in, ws, bs, to + begin * out, end - begin, in, out);
    });
    return y;
}

Tensor CpuBackend::linear_grad_x_impl(const Tensor& grad_y, const Tensor& w) {
    const int64_t in = w.dim(1), out = w.dim(0);
    Tensor grad_x = Tensor::empty({grad_y.dim(0), in});
    const float *g = grad_y.data(), *ws = w.data();
    float* to = grad_x.mutable_data();
    for_chunks(grad_y.dim(0), images_per_chunk, [&](int64_t begin, int64_t end) {
        kernels_.linear_grad_x(g + begin * out, ws, to + begin * in, end - begin, in, out);
    });
    return grad_x;
}

Tensor CpuBackend::linear_grad_w_impl(const Tensor& grad_y, const Tensor& x) {
    const int64_t in = x.dim(1), out = grad_y.dim(1), rows = x.dim(0);
    constexpr int64_t outputs_per_chunk = 16;
    Tensor grad_w = Tensor::empty({out, in});
    const float *g = grad_y.data(), *xs = x.data();
    float* to = grad_w.mutable_data();
    for_chunks(out, outputs_per_chunk,
               [&](int64_t begin, int64_t end) { kernels_.linear_grad_w(g, xs, to, rows, in, out, begin, end); });
    return grad_w;
}

}  // namespace lethe
