#include "unlearn/metrics.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "tensor/error.h"

namespace lethe {

double log_sum_exp(std::span<const float> logits) {
    const auto top = static_cast<double>(*std::max_element(logits.begin(), logits.end()));
    double sum = 0;
    for (const float z : logits) sum += std::exp(static_cast<double>(z) - top);
    return std::log(sum) + top;
}

RowScore score_row(std::span<const float> logits, int64_t label) {
    const auto classes = static_cast<int64_t>(logits.size());
    check(label >= 0 && label < classes, "metrics: label ", label, " is outside [0, ", classes, ")");
    RowScore score;
    score.finite = std::all_of(logits.begin(), logits.end(), [](float z) { return std::isfinite(z); });
    const bool ordered = std::none_of(logits.begin(), logits.end(), [](float z) { return std::isnan(z); });
    // argmax over a row with a NaN would name a class nevertheless: a broken model must not pass for one that answers.
    if (ordered) score.predicted = std::max_element(logits.begin(), logits.end()) - logits.begin();
    if (!score.finite) {
        score.loss = score.margin = std::numeric_limits<double>::quiet_NaN();
        return score;
    }
    const auto own = static_cast<double>(logits[static_cast<std::size_t>(label)]);
    double other = -std::numeric_limits<double>::infinity();
    for (int64_t j = 0; j < classes; ++j)
        if (j != label) other = std::max(other, static_cast<double>(logits[static_cast<std::size_t>(j)]));
    score.loss = log_sum_exp(logits) - own;
    score.margin = own - other;
    return score;
}

Evaluation evaluate_logits(const Tensor& logits, std::span<const int64_t> labels, std::span<const int64_t> indices) {
    check(logits.defined() && logits.rank() == 2, "metrics: logits must be [N,C]");
    const int64_t n = logits.dim(0), classes = logits.dim(1);
    check(static_cast<int64_t>(labels.size()) == n, "metrics: ", labels.size(), " labels for logits ", logits.shape());
    check(indices.empty() || indices.size() == labels.size(), "metrics: ", indices.size(), " indices for logits ",
          logits.shape());
    Evaluation result;
    result.per_class.resize(static_cast<std::size_t>(classes));
    result.accuracy.total = n;
    result.min_margin = n > 0 ? std::numeric_limits<double>::infinity() : 0;
    result.max_margin = -result.min_margin;
    for (int64_t i = 0; i < n; ++i) {
        const auto row = static_cast<std::size_t>(i);
        const RowScore score = score_row(
            logits.values().subspan(row * static_cast<std::size_t>(classes), static_cast<std::size_t>(classes)),
            labels[row]);
        Accuracy& own = result.per_class[static_cast<std::size_t>(labels[row])];
        ++own.total;
        if (score.predicted == labels[row]) {
            ++own.correct;
            ++result.accuracy.correct;
        } else {
            result.wrong.push_back(indices.empty() ? i : indices[row]);
        }
        result.finite = result.finite && score.finite;
        result.loss += score.loss / static_cast<double>(n);
        result.mean_margin += score.margin / static_cast<double>(n);
        result.min_margin = std::min(result.min_margin, score.margin);
        result.max_margin = std::max(result.max_margin, score.margin);
    }
    // Comparisons pass over a NaN; a summary with one in it must not look sound.
    if (!result.finite) result.min_margin = result.max_margin = std::numeric_limits<double>::quiet_NaN();
    std::sort(result.wrong.begin(), result.wrong.end());
    return result;
}

Tensor predict(Model& twin, const Dataset& data, std::span<const int64_t> indices,
               const std::function<void(int64_t)>& progress) {
    constexpr int64_t block_bytes = int64_t{32} << 20;  // of images held as floats; twice, for the block that follows
    const int64_t image_bytes = data.channels * data.height * data.width * static_cast<int64_t>(sizeof(float));
    const auto block =
        static_cast<std::size_t>(std::clamp<int64_t>(block_bytes / std::max<int64_t>(image_bytes, 1), 1, 1024));
    const auto block_at = [&](std::size_t begin) {
        return data.request(indices.subspan(begin, std::min(block, indices.size() - begin)));
    };
    Tensor logits = Tensor::empty({static_cast<int64_t>(indices.size()), twin.spec().classes});
    PendingImages next = block_at(0);
    for (std::size_t begin = 0; begin < indices.size(); begin += block) {
        const Tensor images = next.get();
        if (begin + block < indices.size()) next = block_at(begin + block);
        const auto first = static_cast<int64_t>(begin), last = first + images.dim(0);
        logits.rows(first, last).copy_from(predict(twin, images));
        if (progress) progress(last);
    }
    return logits;
}

Evaluation evaluate(Model& twin, const Dataset& data, std::span<const int64_t> indices,
                    const std::function<void(int64_t)>& progress) {
    const Tensor logits = predict(twin, data, indices, progress);
    return evaluate_logits(logits, data.labels_of(indices).int64_values(), indices);
}

std::vector<int64_t> all_indices(const Dataset& data) {
    std::vector<int64_t> indices(static_cast<std::size_t>(data.size()));
    std::iota(indices.begin(), indices.end(), int64_t{0});
    return indices;
}

}  // namespace lethe
