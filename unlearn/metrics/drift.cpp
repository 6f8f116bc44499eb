#include "unlearn/metrics/drift.h"

#include <algorithm>
#include <cmath>

#include "tensor/error.h"
#include "unlearn/importance.h"

namespace lethe {
namespace {

// Of Omega-bar = 1 - penalty weight.
std::size_t tenth_of(float weight) {
    const double scaled = 1 - static_cast<double>(weight);
    return std::min(static_cast<std::size_t>(std::max(0.0, scaled * drift_bins)), drift_bins - 1);
}

// The j with 10^-(j+1) < share <= 10^-j.
std::size_t decade_of(double share) {
    for (std::size_t j = 0; j + 1 < drift_bins; ++j)
        if (share > std::pow(10.0, -static_cast<double>(j + 1))) return j;
    return drift_bins - 1;
}

Tensor entry_of(const StateDict& state, const std::string& name, const Shape& shape) {
    const auto found = std::find_if(state.begin(), state.end(), [&](const auto& entry) { return entry.first == name; });
    check(found != state.end(), "drift: the importance has a tensor ", name, ", the weights have none");
    check(found->second.shape() == shape && found->second.dtype() == DType::float32, "drift: ", name, " is ",
          found->second.shape(), ", its importance ", shape);
    return found->second.cpu();
}

// Sums over weights, of which finish() makes means.
void add_weight(Drift& drift, float weight, double move) {
    const std::size_t tenth = tenth_of(weight);
    drift.protected_share += static_cast<double>(weight) * move * move;
    drift.moved += move * move;
    drift.expected += static_cast<double>(weight);
    drift.mean_move[tenth] += std::abs(move);
    ++drift.values[tenth];
}

void finish(Drift& drift) {
    double values = 0;
    for (std::size_t j = 0; j < drift_bins; ++j) {
        values += static_cast<double>(drift.values[j]);
        if (drift.values[j] > 0) drift.mean_move[j] /= static_cast<double>(drift.values[j]);
    }
    if (values > 0) drift.expected /= values;
    if (drift.moved > 0) drift.protected_share /= drift.moved;
}

}  // namespace

std::vector<ImportanceSpread> importance_spread(const StateDict& omega) {
    std::vector<std::string> degenerate;
    const StateDict weights = penalty_weights(omega, &degenerate);
    double largest = 0;
    for (const auto& [name, values] : omega)
        for (const float value : values.values()) largest = std::max(largest, static_cast<double>(value));
    std::vector<ImportanceSpread> list;
    for (std::size_t i = 0; i < omega.size(); ++i) {
        ImportanceSpread spread;
        spread.name = omega[i].first;
        spread.degenerate = std::find(degenerate.begin(), degenerate.end(), spread.name) != degenerate.end();
        for (const float value : omega[i].second.values()) {
            spread.largest = std::max(spread.largest, static_cast<double>(value));
            ++spread.decades[largest > 0 ? decade_of(static_cast<double>(value) / largest) : drift_bins - 1];
        }
        for (const float weight : weights[i].second.values()) ++spread.tenths[tenth_of(weight)];
        list.push_back(spread);
    }
    return list;
}

DriftReport drift_of(const StateDict& omega, const StateDict& before, const StateDict& after) {
    DriftReport report;
    report.whole.name = "all";
    for (const auto& [name, weights] : penalty_weights(omega)) {
        const Tensor from = entry_of(before, name, weights.shape()), to = entry_of(after, name, weights.shape());
        Drift drift;
        drift.name = name;
        for (std::size_t i = 0; i < weights.values().size(); ++i) {
            const double move = static_cast<double>(to.values()[i]) - static_cast<double>(from.values()[i]);
            add_weight(drift, weights.values()[i], move);
            add_weight(report.whole, weights.values()[i], move);
        }
        finish(drift);
        report.tensors.push_back(drift);
    }
    finish(report.whole);
    return report;
}

}  // namespace lethe
