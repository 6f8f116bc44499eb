#include <algorithm>
#include <numeric>

#include "cpu/backend.h"
#include "cpu/channels.h"
#include "tensor/error.h"

namespace lethe {
namespace {

// An image's sizes, read once: Shape checks each access.
struct Image {
    int64_t channels, height, width;
};

struct Window {
    int64_t top, bottom, left, right;  // rows [top, bottom) and columns [left, right), cut to the image
};

Window window_at(int64_t p, int64_t q, const Image& image, const Pool2d& op) {
    const int64_t top = p * op.stride - op.pad, left = q * op.stride - op.pad;
    return {std::max<int64_t>(0, top), std::min(image.height, top + op.kernel), std::max<int64_t>(0, left),
            std::min(image.width, left + op.kernel)};
}

// One over a window's size: with the padding, without what `ceil` adds behind it.
float share_of(int64_t p, int64_t q, const Image& image, const Pool2d& op) {
    const int64_t top = p * op.stride - op.pad, left = q * op.stride - op.pad;
    const int64_t rows = std::min(op.kernel, image.height + op.pad - top);
    return 1.0f / static_cast<float>(rows * std::min(op.kernel, image.width + op.pad - left));
}

// The maximum of one window for all channels; NaN wins, so that it is not lost.
void pool_window(const simd::Kernels& kernels, const float* x, const Image& image, int64_t number, const Window& window,
                 float* y, int64_t* argmax) {
    bool first = true;
    for (int64_t h = window.top; h < window.bottom; ++h)
        for (int64_t w = window.left; w < window.right; ++w) {
            const int64_t offset = ((number * image.height + h) * image.width + w) * image.channels;
            if (first) {
                std::copy_n(x + offset, image.channels, y);
                std::iota(argmax, argmax + image.channels, offset);
                first = false;
            } else {
                kernels.keep_larger(x + offset, offset, y, argmax, image.channels);
            }
        }
}

}  // namespace

Tensor CpuBackend::max_pool2d_impl(const Tensor& x, const Pool2d& op, Tensor& argmax) {
    Tensor y = Tensor::empty(op.output_shape(x.shape()));
    argmax = Tensor::empty({y.numel()}, DType::int64);
    const Image image{x.dim(1), x.dim(2), x.dim(3)};
    const int64_t rows = y.dim(2), columns = y.dim(3);
    const float* in = x.data();
    float* out = y.mutable_data();
    int64_t* winners = argmax.mutable_int64_data();
    for_chunks(x.dim(0), images_per_chunk, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin * rows * columns; i < end * rows * columns; ++i) {
            const Window window = window_at(i / columns % rows, i % columns, image, op);
            pool_window(kernels_, in, image, i / (rows * columns), window, out + i * image.channels,
                        winners + i * image.channels);
        }
    });
    return y;
}

Tensor CpuBackend::max_pool2d_grad_impl(const Tensor& grad_y, const Tensor& argmax, const Shape& x,
                                        const Pool2d& /*op*/) {
    Tensor grad_x = Tensor::empty(x);
    if (x.numel() == 0) return grad_x;
    const int64_t in = x.numel() / x[0], out = grad_y.numel() / x[0];
    const float* g = grad_y.data();
    const int64_t* winners = argmax.int64_data();
    float* to = grad_x.mutable_data();
    for_chunks(x[0], images_per_chunk, [&](int64_t begin, int64_t end) {
        std::fill(to + begin * in, to + end * in, 0.0f);
        for (int64_t i = begin * out; i < end * out; ++i) to[winners[i]] += g[i];
    });
    return grad_x;
}

Tensor CpuBackend::avg_pool2d_impl(const Tensor& x, const Pool2d& op) {
    Tensor y = Tensor::empty(op.output_shape(x.shape()));
    const Image image{x.dim(1), x.dim(2), x.dim(3)};
    const int64_t rows = y.dim(2), columns = y.dim(3), channels = image.channels;
    const float* in = x.data();
    float* out = y.mutable_data();
    for_chunks(x.dim(0), images_per_chunk, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin * rows * columns; i < end * rows * columns; ++i) {
            const Window window = window_at(i / columns % rows, i % columns, image, op);
            float* to = out + i * channels;
            std::fill(to, to + channels, 0.0f);
            const int64_t first_row = i / (rows * columns) * image.height;
            for (int64_t h = window.top; h < window.bottom; ++h)
                for (int64_t w = window.left; w < window.right; ++w)
                    kernels_.axpy(1.0f, in + ((first_row + h) * image.width + w) * channels, to, channels);
            kernels_.scale(to, share_of(i / columns % rows, i % columns, image, op), to, channels);
        }
    });
    return y;
}

Tensor CpuBackend::avg_pool2d_grad_impl(const Tensor& grad_y, const Shape& x, const Pool2d& op) {
    Tensor grad_x = Tensor::empty(x);
    const Image image{x[1], x[2], x[3]};
    const int64_t rows = grad_y.dim(2), columns = grad_y.dim(3), channels = image.channels;
    const int64_t size = image.height * image.width * channels;
    const float* g = grad_y.data();
    float* to = grad_x.mutable_data();
    for_chunks(x[0], images_per_chunk, [&](int64_t begin, int64_t end) {
        std::fill(to + begin * size, to + end * size, 0.0f);
        for (int64_t i = begin * rows * columns; i < end * rows * columns; ++i) {
            const Window window = window_at(i / columns % rows, i % columns, image, op);
            const float share = share_of(i / columns % rows, i % columns, image, op);
            const int64_t first_row = i / (rows * columns) * image.height;
            for (int64_t h = window.top; h < window.bottom; ++h)
                for (int64_t w = window.left; w < window.right; ++w)
                    kernels_.axpy(share, g + i * channels, to + ((first_row + h) * image.width + w) * channels,
                                  channels);
        }
    });
    return grad_x;
}

Tensor CpuBackend::global_avg_pool_impl(const Tensor& x) {
    const int64_t channels = x.dim(1), image = channels * x.dim(2) * x.dim(3), period = period_of(channels);
    Tensor y = Tensor::empty({x.dim(0), channels});
    const float* in = x.data();
    float* out = y.mutable_data();
    const double share = 1.0 / static_cast<double>(x.dim(2) * x.dim(3));
    for_chunks(x.dim(0), images_per_chunk, [&](int64_t begin, int64_t end) {
        const Scratch<double> sums(period);
        for (int64_t n = begin; n < end; ++n) {
            kernels_.lane_sums(in + n * image, image, period, sums.data());
            for (int64_t c = 0; c < channels; ++c) {
                double total = 0.0;
                for (int64_t j = c; j < period; j += channels) total += sums[j];
                out[n * channels + c] = static_cast<float>(total * share);
            }
        }
    });
    return y;
}

Tensor CpuBackend::global_avg_pool_grad_impl(const Tensor& grad_y, const Shape& x, DType dtype) {
    check(dtype == DType::float32, "global_avg_pool_grad: the CPU has float32 only, got ", name(dtype));
    Tensor grad_x = Tensor::empty(x);
    const int64_t channels = x[1], area = x[2] * x[3];
    const float* g = grad_y.data();
    float* out = grad_x.mutable_data();
    const float share = 1.0f / static_cast<float>(area);
    for_chunks(x[0], images_per_chunk, [&](int64_t begin, int64_t end) {
        for (int64_t n = begin; n < end; ++n) {
            float* image = out + n * area * channels;
            kernels_.scale(g + n * channels, share, image, channels);
            for (int64_t p = 1; p < area; ++p) std::copy(image, image + channels, image + p * channels);
        }
    });
    return grad_x;
}

}  // namespace lethe
