#include "unlearn/step_terms.h"

#include <algorithm>
#include <limits>

namespace lethe {

StepBatch gather_batch(const ImageRows& images, std::span<const int64_t> labels, std::span<const int64_t> order) {
    std::vector<int64_t> chosen;
    for (const int64_t row : order) chosen.push_back(labels[static_cast<std::size_t>(row)]);
    return {images.gather(order), Tensor::from_int64({static_cast<int64_t>(order.size())}, chosen)};
}

StepBatch slice_batch(const ImageRows& images, std::span<const int64_t> labels, int64_t begin, int64_t end) {
    const auto first = static_cast<std::size_t>(begin), count = static_cast<std::size_t>(end - begin);
    return {images.rows(begin, end), Tensor::from_int64({end - begin}, labels.subspan(first, count))};
}

void Term::load(const StepBatch& batch, std::span<const float> recognised, Device device) {
    const Tensor rows = recognised.empty() ? Tensor::full({batch.size()}, 1.0f)
                                           : Tensor::from_nchw({static_cast<int64_t>(recognised.size())}, recognised);
    if (device == Device::cpu) {
        images = batch.images;
        labels = batch.labels;
        active = rows;
        return;
    }
    if (!images.defined()) {
        images = Tensor::empty(batch.images.shape(), DType::float32, device);
        labels = Tensor::empty(batch.labels.shape(), DType::int64, device);
        active = Tensor::empty(rows.shape(), DType::float32, device);
    }
    images.copy_from(batch.images);
    labels.copy_from(batch.labels);
    active.copy_from(rows);
}

std::vector<float> still_recognised(const Tensor& logits, std::span<const int64_t> labels, double margin) {
    std::vector<float> rows;
    for (int64_t i = 0; i < logits.dim(0); ++i) {
        const auto logit = logits.values().subspan(static_cast<std::size_t>(i * logits.dim(1)),
                                                   static_cast<std::size_t>(logits.dim(1)));
        const auto label = static_cast<std::size_t>(labels[static_cast<std::size_t>(i)]);
        float other = -std::numeric_limits<float>::infinity();
        for (std::size_t c = 0; c < logit.size(); ++c)
            if (c != label) other = std::max(other, logit[c]);
        rows.push_back(double{logit[label]} - double{other} < -margin ? 0.0f : 1.0f);
    }
    return rows;
}

}  // namespace lethe
