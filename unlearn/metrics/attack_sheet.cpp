#include "unlearn/metrics/attack_sheet.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "data/split.h"
#include "tensor/error.h"

namespace lethe {
namespace {

constexpr int64_t rows_at_once = 256;

void check_attack(const AttackSet& attack) {
    check(attack.images.defined() && attack.rows.defined() && !attack.targets.empty() &&
              attack.rows.shape() == attack.images.shape().with_rows(static_cast<int64_t>(attack.targets.size())) &&
              attack.hits.size() == attack.targets.size() &&
              attack.labels.size() == static_cast<std::size_t>(attack.images.dim(0)),
          "attack: ", attack.targets.size(), " targets, ", attack.hits.size(), " reports and ", attack.labels.size(),
          " labels do not fit the images");
}

struct Lengths {
    double l2 = 0, linf = 0;
};
Lengths lengths_of(std::span<const float> x, std::span<const float> adversarial) {
    Lengths lengths;
    for (std::size_t i = 0; i < x.size(); ++i) {
        const double change = std::abs(static_cast<double>(adversarial[i]) - static_cast<double>(x[i]));
        lengths.l2 += change * change;
        lengths.linf = std::max(lengths.linf, change);
    }
    lengths.l2 = std::sqrt(lengths.l2);
    return lengths;
}

}  // namespace

AttackQuality attack_quality(const AttackSet& attack) {
    check_attack(attack);
    const auto n = static_cast<int64_t>(attack.targets.size()), k = attack.images.dim(0);
    const auto pixels = static_cast<std::size_t>(attack.images.numel() / k);
    AttackQuality quality;
    std::map<int64_t, TargetHits> by_target;
    std::vector<double> l2, linf;
    for (int64_t begin = 0; begin < n; begin += rows_at_once) {
        const Tensor rows = attack.rows.rows(begin, std::min(n, begin + rows_at_once));
        for (int64_t i = 0; i < rows.dim(0); ++i) {
            const auto image = static_cast<std::size_t>((begin + i) % k), row = static_cast<std::size_t>(begin + i);
            const Lengths lengths = lengths_of(attack.images.values().subspan(image * pixels, pixels),
                                               rows.values().subspan(static_cast<std::size_t>(i) * pixels, pixels));
            l2.push_back(lengths.l2);
            linf.push_back(lengths.linf);
            TargetHits& target = by_target[attack.targets[row]];
            target.target = attack.targets[row];
            ++target.rows;
            target.hits += attack.hits[row] ? 1 : 0;
            quality.own_label += attack.targets[row] == attack.labels[image] ? 1 : 0;
        }
    }
    for (const auto& [target, hits] : by_target) quality.targets.push_back(hits);
    quality.l2 = quantiles_of(l2);
    quality.linf = quantiles_of(linf);
    return quality;
}

AttackTransfer attack_transfer(Model& twin, const AttackSet& attack, int64_t limit) {
    check_attack(attack);
    std::vector<int64_t> all(attack.targets.size());
    std::iota(all.begin(), all.end(), int64_t{0});
    const std::vector<int64_t> rows = evenly_spread(all, limit);
    AttackTransfer transfer;
    std::vector<double> confidences;
    for (std::size_t begin = 0; begin < rows.size(); begin += rows_at_once) {
        const auto some = std::span(rows).subspan(begin, std::min<std::size_t>(rows_at_once, rows.size() - begin));
        const Tensor logits = predict(twin, attack.rows.gather(some));
        const auto classes = static_cast<std::size_t>(logits.dim(1));
        for (std::size_t i = 0; i < some.size(); ++i) {
            const std::vector<double> p = softmax(logits.values().subspan(i * classes, classes));
            const int64_t seen = std::max_element(p.begin(), p.end()) - p.begin();
            const int64_t target = attack.targets[static_cast<std::size_t>(some[i])];
            ++transfer.rows;
            transfer.target += seen == target ? 1 : 0;
            transfer.label += seen == attack.labels[static_cast<std::size_t>(some[i] % attack.images.dim(0))] ? 1 : 0;
            confidences.push_back(p.at(static_cast<std::size_t>(target)));
        }
    }
    transfer.confidence = quantiles_of(confidences);
    return transfer;
}

}  // namespace lethe
