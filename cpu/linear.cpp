#include "cpu/backend.h"
#include "cpu/chunks.h"

namespace lethe {

namespace {

// Several rows per sample are the pixels of an image and w [O,F] a 1x1 convolution over them, whose kernels work image
// by image: a sample's result does not depend on its batch.
Tensor as_kernel(const Tensor& w) { return w.reshape({w.dim(0), w.dim(1), 1, 1}); }

// Images [N,F,1,T] as the rows that they are in memory.
Tensor as_rows(const Tensor& images, const Shape& like) {
    return images.pixel_rows().reshape({like[0], like[1], images.dim(1)});
}

}  // namespace

Tensor CpuBackend::linear_impl(const Tensor& x, const Tensor& w, const Tensor& b) {
    if (x.rank() == 3)
        return as_rows(conv2d_fused_impl(x.rows_as_pixels(), as_kernel(w), b, Tensor(), false, {}), x.shape());
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
    if (grad_y.rank() == 3) {
        const Shape x{grad_y.dim(0), w.dim(1), 1, grad_y.dim(1)};
        return as_rows(conv2d_grad_x_impl(grad_y.rows_as_pixels(), as_kernel(w), x, {}), grad_y.shape());
    }
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
    if (x.rank() == 3) {
        const Shape w{grad_y.dim(2), x.dim(2), 1, 1};
        return conv2d_grad_w_impl(grad_y.rows_as_pixels(), x.rows_as_pixels(), w, {}).reshape({w[0], w[1]});
    }
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
