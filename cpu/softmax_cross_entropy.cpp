#include <algorithm>
#include <cmath>
#include <limits>

#include "cpu/backend.h"
#include "cpu/chunks.h"

namespace lethe {
namespace {

// One row of log_odds_grad: share at the label, minus share times a softmax over the other classes elsewhere.
void log_odds_row(const float* z, int64_t label, double share, float* out, int64_t classes) {
    double largest = -std::numeric_limits<double>::infinity(), sum = 0;
    for (int64_t j = 0; j < classes; ++j)
        if (j != label) largest = std::max(largest, double{z[j]});
    for (int64_t j = 0; j < classes; ++j)
        if (j != label) sum += std::exp(double{z[j]} - largest);
    for (int64_t j = 0; j < classes; ++j)
        out[j] = static_cast<float>(j == label ? share : -share * std::exp(double{z[j]} - largest) / sum);
}

}  // namespace

Tensor CpuBackend::softmax_cross_entropy_impl(const Tensor& logits, const Tensor& labels, Tensor& probabilities,
                                              const CrossEntropy& op) {
    const int64_t classes = logits.dim(1);
    Tensor loss = Tensor::empty({logits.dim(0)});
    probabilities = Tensor::empty(logits.shape());
    const float* in = logits.data();
    const int64_t* label = labels.int64_data();
    float *out = loss.mutable_data(), *p = probabilities.mutable_data();
    for_chunks(logits.dim(0), images_per_chunk, [&](int64_t begin, int64_t end) {
        for (int64_t n = begin; n < end; ++n)
            out[n] = kernels_.softmax_cross_entropy(in + n * classes, label[n], op.label_smoothing, p + n * classes,
                                                    classes);
    });
    return loss;
}

Tensor CpuBackend::softmax_cross_entropy_grad_impl(const Tensor& grad_loss, const Tensor& probabilities,
                                                   const Tensor& labels, const CrossEntropy& op) {
    const int64_t classes = probabilities.dim(1);
    const float own = 1.0f - op.label_smoothing, every = op.label_smoothing / static_cast<float>(classes);
    Tensor grad = Tensor::empty(probabilities.shape());
    const float *p = probabilities.data(), *g = grad_loss.data();
    const int64_t* label = labels.int64_data();
    float* out = grad.mutable_data();
    for_chunks(probabilities.dim(0), images_per_chunk, [&](int64_t begin, int64_t end) {
        for (int64_t n = begin; n < end; ++n) {
            const int64_t row = n * classes;
            for (int64_t i = row; i < row + classes; ++i) out[i] = (p[i] - every) * g[n];
            const int64_t hit = row + label[n];
            out[hit] = (p[hit] - every - own) * g[n];
        }
    });
    return grad;
}

Tensor CpuBackend::log_odds_grad_impl(const Tensor& logits, const Tensor& labels, const Tensor& active, float weight) {
    const int64_t classes = logits.dim(1);
    const std::span<const float> chosen = active.values();
    const auto rows = std::count_if(chosen.begin(), chosen.end(), [](float value) { return value != 0.0f; });
    const double share = double{weight} / static_cast<double>(std::max<int64_t>(1, rows));
    Tensor grad = Tensor::zeros(logits.shape());
    float* out = grad.mutable_data();
    for (int64_t n = 0; n < logits.dim(0); ++n)
        if (chosen[static_cast<std::size_t>(n)] != 0.0f)
            log_odds_row(logits.data() + n * classes, labels.int64_data()[n], share, out + n * classes, classes);
    return grad;
}

}  // namespace lethe
