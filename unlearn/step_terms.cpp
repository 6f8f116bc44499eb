#include "unlearn/step_terms.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "autograd/ops.h"

namespace lethe {
namespace {

double mean_of(const Tensor& values) {
    const Tensor here = values.cpu();
    const std::span<const float> all = here.values();
    return std::accumulate(all.begin(), all.end(), 0.0) / static_cast<double>(all.size());
}

}  // namespace

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

void Term::load_share(std::span<const float> recognised, const Model& model) {
    const auto rows = static_cast<int64_t>(recognised.size());
    const float marked = std::accumulate(recognised.begin(), recognised.end(), 0.0f);
    const Shape shape{rows, model.spec().classes};
    if (!share.defined()) share = Tensor::empty(shape, DType::float32, model.device());
    share.copy_from(Tensor::full(shape, marked / static_cast<float>(rows)));
}

Gradients::Gradients(Model& model, bool batch_statistics)
    : model_(model),
      device_(backend(model.device())),
      mode_(batch_statistics ? BatchNormMode::batch : BatchNormMode::running) {}

Var Gradients::forward(const Tensor& images) const { return model_.forward(images, mode_); }

double Gradients::cross_entropy(Terms& terms, const StepBatch& batch, double weight, std::span<const float> recognised,
                                Average average) const {
    const bool log_odds = !recognised.empty(), over_all = log_odds && average == Average::all;
    Term& term = terms.try_emplace({batch.size(), weight}, device_).first->second;
    const auto total = static_cast<float>(weight),
               share = static_cast<float>(weight / static_cast<double>(batch.size()));
    term.load(batch, recognised, model_.device());
    if (over_all) term.load_share(recognised, model_);
    term.graph.run([&] {
        Var logits = forward(term.images);
        Var loss = softmax_cross_entropy(logits, term.labels);
        term.loss = loss.value();
        if (log_odds) {
            const Tensor grad = device_.log_odds_grad(logits.value(), term.labels, term.active, total);
            logits.backward(over_all ? device_.binary(Binary::mul, grad, term.share) : grad);
        } else
            loss.backward(Tensor::full(loss.shape(), share, model_.device()));
    });
    return mean_of(term.loss);
}

Tensor Gradients::divergence(Terms& terms, const Tensor& images, const Tensor& target, float weight,
                             float temperature) const {
    const int64_t rows = images.dim(0);
    Term& term = terms.try_emplace({rows, static_cast<double>(weight)}, device_).first->second;
    term.load({images, Tensor::from_int64({rows}, std::vector<int64_t>(static_cast<std::size_t>(rows)))}, {},
              model_.device());
    if (!term.target.defined()) term.target = Tensor::empty(target.shape(), DType::float32, model_.device());
    term.target.copy_from(target);
    const float share = weight * temperature / static_cast<float>(rows);
    term.graph.run([&] {
        Var logits = forward(term.images);
        term.logits = logits.value();
        Tensor probabilities;
        device_.softmax_cross_entropy(device_.scale(term.logits, 1.0f / temperature), term.labels, probabilities);
        logits.backward(device_.scale(device_.binary(Binary::sub, probabilities, term.target), share));
    });
    return term.logits.cpu();
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
