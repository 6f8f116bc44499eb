#include "unlearn/metrics/neighbourhood.h"

#include <algorithm>

#include "tensor/error.h"
#include "unlearn/image_rows.h"
#include "unlearn/metrics/distances.h"
#include "unlearn/pgd.h"

namespace lethe {
namespace {

std::size_t largest(std::span<const float> values) {
    return static_cast<std::size_t>(std::max_element(values.begin(), values.end()) - values.begin());
}

// The best class but for `label`.
int64_t runner_up(std::span<const float> logits, int64_t label) {
    int64_t best = label == 0 ? 1 : 0;
    for (int64_t j = 0; j < static_cast<int64_t>(logits.size()); ++j)
        if (j != label && logits[static_cast<std::size_t>(j)] > logits[static_cast<std::size_t>(best)]) best = j;
    return best;
}

// From logits and not from probabilities, which may have nothing left beside the label's.
std::vector<double> softmax_without(std::span<const float> logits, std::size_t label) {
    std::vector<float> rest(logits.begin(), logits.end());
    rest.erase(rest.begin() + static_cast<std::ptrdiff_t>(label));
    std::vector<double> p = softmax(rest);
    p.insert(p.begin() + static_cast<std::ptrdiff_t>(label), 0.0);
    return p;
}

}  // namespace

Tensor neighbours_of(Model& before, const Tensor& images, std::span<const int64_t> labels,
                     const NeighbourOptions& options) {
    check(options.draws >= 1, "neighbours: draws must be >= 1, got ", options.draws);
    check(images.defined() && images.rank() == 4 && images.dim(0) == static_cast<int64_t>(labels.size()),
          "neighbours: ", labels.size(), " labels do not fit the images");
    const Tensor logits = predict(before, images);
    const auto classes = static_cast<std::size_t>(logits.dim(1));
    std::vector<int64_t> rows, targets;
    for (int64_t draw = 0; draw < options.draws; ++draw)
        for (std::size_t i = 0; i < labels.size(); ++i) {
            rows.push_back(static_cast<int64_t>(i));
            targets.push_back(runner_up(logits.values().subspan(i * classes, classes), labels[i]));
        }
    PgdOptions attack;
    attack.step.norm = PgdStep::Norm::linf;
    attack.step.eps = options.eps;
    attack.step.step = options.step;
    attack.steps = options.steps;
    attack.init = PgdOptions::Init::in_ball;
    attack.seed = options.seed;
    constexpr uint64_t first_row = uint64_t{1} << 32;  // other noise than where a run's own attack began
    return pgd(before, ImageRows(images).gather(rows), targets, attack, {}, first_row).images;
}

OverUnlearning over_unlearning(const Tensor& before, const Tensor& after, std::span<const int64_t> labels) {
    check(before.defined() && after.defined() && before.rank() == 2 && before.shape() == after.shape() &&
              before.dim(0) >= 1 && !labels.empty(),
          "over-unlearning: both logits must be [N,C] of the same neighbours");
    const auto classes = static_cast<std::size_t>(before.dim(1)), n = static_cast<std::size_t>(before.dim(0));
    OverUnlearning result;
    for (std::size_t i = 0; i < n; ++i) {
        const std::span<const float> from = before.values().subspan(i * classes, classes);
        const std::span<const float> to = after.values().subspan(i * classes, classes);
        const int64_t label = labels[i % labels.size()];
        check(label >= 0 && label < before.dim(1), "over-unlearning: label ", label, " is outside [0, ", classes, ")");
        const auto y = static_cast<std::size_t>(label);
        result.divergence += jensen_shannon(softmax_without(from, y), softmax(to)) / static_cast<double>(n);
        ++result.total;
        if (largest(from) == y) continue;
        ++result.crossed;
        result.changed += largest(to) != largest(from) ? 1 : 0;
    }
    return result;
}

}  // namespace lethe
