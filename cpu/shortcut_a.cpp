#include "cpu/backend.h"
#include "cpu/channels.h"

namespace lethe {

Tensor CpuBackend::shortcut_a_impl(const Tensor& x, int64_t channels, int64_t stride) {
    const int64_t height = x.dim(2), width = x.dim(3), in = x.dim(1), before = (channels - in) / 2;
    const int64_t rows = chunks_of(height, stride), columns = chunks_of(width, stride);
    Tensor y = Tensor::empty({x.dim(0), channels, rows, columns});
    const float* from = x.data();
    float* to = y.mutable_data();
    for_chunks(x.dim(0), images_per_chunk, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin * rows; i < end * rows; ++i) {
            const float* row = from + (i / rows * height + i % rows * stride) * width * in;
            for (int64_t q = 0; q < columns; ++q) {
                float* out = to + (i * columns + q) * channels;
                std::fill(out, out + before, 0.0f);
                std::copy(row + q * stride * in, row + q * stride * in + in, out + before);
                std::fill(out + before + in, out + channels, 0.0f);
            }
        }
    });
    return y;
}

Tensor CpuBackend::shortcut_a_grad_impl(const Tensor& grad_y, const Shape& x, int64_t stride) {
    const int64_t height = x[2], width = x[3], in = x[1], channels = grad_y.dim(1), before = (channels - in) / 2;
    const int64_t rows = grad_y.dim(2), columns = grad_y.dim(3);
    Tensor grad_x = Tensor::empty(x);
    const float* from = grad_y.data();
    float* to = grad_x.mutable_data();
    for_chunks(x[0], images_per_chunk, [&](int64_t begin, int64_t end) {
        std::fill(to + begin * height * width * in, to + end * height * width * in, 0.0f);
        for (int64_t i = begin * rows; i < end * rows; ++i) {
            float* row = to + (i / rows * height + i % rows * stride) * width * in;
            for (int64_t q = 0; q < columns; ++q) {
                const float* g = from + (i * columns + q) * channels + before;
                std::copy(g, g + in, row + q * stride * in);
            }
        }
    });
    return grad_x;
}

}  // namespace lethe
