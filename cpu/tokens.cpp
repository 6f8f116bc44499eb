#include <algorithm>

#include "cpu/backend.h"
#include "cpu/chunks.h"

namespace lethe {

Tensor CpuBackend::tokens_impl(const Tensor& patches, const Tensor& class_token, const Tensor& position) {
    const int64_t features = patches.dim(1), pixels = patches.dim(2) * patches.dim(3);
    Tensor y = Tensor::empty({patches.dim(0), 1 + pixels, features});
    const auto add = kernels_.binary[static_cast<int>(Binary::add)];
    const float *from = patches.data(), *first = class_token.data(), *where = position.data();
    float* to = y.mutable_data();
    for_chunks(patches.dim(0), images_per_chunk, [&](int64_t begin, int64_t end) {
        for (int64_t n = begin; n < end; ++n) {
            float* out = to + n * (1 + pixels) * features;
            add(first, where, out, features);
            add(from + n * pixels * features, where + features, out + features, pixels * features);
        }
    });
    return y;
}

Tensor CpuBackend::tokens_grad_impl(const Tensor& grad_y, const Shape& patches, DType /*dtype*/) {
    Tensor grad = Tensor::empty(patches);
    const int64_t features = patches[1], count = patches[2] * patches[3] * features;
    const float* from = grad_y.data();
    float* to = grad.mutable_data();
    for_chunks(patches[0], images_per_chunk, [&](int64_t begin, int64_t end) {
        for (int64_t n = begin; n < end; ++n)
            std::copy_n(from + n * (features + count) + features, count, to + n * count);
    });
    return grad;
}

Tensor CpuBackend::dropout_factors_impl(const Shape& shape, const Dropout& op) {
    Tensor factors = Tensor::empty(shape);
    if (factors.numel() == 0) return factors;
    const int64_t length = factors.numel() / shape[0];
    const uint64_t first = static_cast<uint64_t>(op.counter.int64_data()[0]) << 24;
    const float kept = 1.0f / (1.0f - op.p);
    float* to = factors.mutable_data();
    for_chunks(shape[0], 1, [&](int64_t row, int64_t) {
        const uint64_t item = first + static_cast<uint64_t>(row);
        for (int64_t j = 0; j < length; ++j)
            to[row * length + j] = op.random.uniform(item, static_cast<uint32_t>(j)) < op.p ? 0.0f : kept;
    });
    return factors;
}

}  // namespace lethe
