#include "cpu/backend.h"
#include "cpu/chunks.h"

namespace lethe {

Tensor CpuBackend::softmax_cross_entropy_impl(const Tensor& logits, const Tensor& labels, Tensor& probabilities) {
    const int64_t classes = logits.dim(1);
    Tensor loss = Tensor::empty({logits.dim(0)});
    probabilities = Tensor::empty(logits.shape());
    const float* in = logits.data();
    const int64_t* label = labels.int64_data();
    float *out = loss.mutable_data(), *p = probabilities.mutable_data();
    for_chunks(logits.dim(0), images_per_chunk, [&](int64_t begin, int64_t end) {
        for (int64_t n = begin; n < end; ++n)
            out[n] = kernels_.softmax_cross_entropy(in + n * classes, label[n], p + n * classes, classes);
    });
    return loss;
}

Tensor CpuBackend::softmax_cross_entropy_grad_impl(const Tensor& grad_loss, const Tensor& probabilities,
                                                   const Tensor& labels) {
    const int64_t classes = probabilities.dim(1);
    Tensor grad = Tensor::empty(probabilities.shape());
    const float *p = probabilities.data(), *g = grad_loss.data();
    const int64_t* label = labels.int64_data();
    float* out = grad.mutable_data();
    for_chunks(probabilities.dim(0), images_per_chunk, [&](int64_t begin, int64_t end) {
        for (int64_t n = begin; n < end; ++n) {
            kernels_.scale(p + n * classes, g[n], out + n * classes, classes);
            const int64_t hit = n * classes + label[n];
            out[hit] = (p[hit] - 1.0f) * g[n];
        }
    });
    return grad;
}

}  // namespace lethe
