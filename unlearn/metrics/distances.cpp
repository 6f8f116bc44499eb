#include "unlearn/metrics/distances.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <numeric>

#include "tensor/error.h"
#include "unlearn/metrics.h"

namespace lethe {
namespace {

// The mean of distance(softmax of a row of a, of b).
template <class Distance>
double mean_over_rows(const Tensor& a, const Tensor& b, const Distance& distance) {
    check(a.defined() && b.defined() && a.rank() == 2 && a.shape() == b.shape() && a.dim(0) >= 1,
          "distances: both logits must be [N,C] of the same images");
    const auto classes = static_cast<std::size_t>(a.dim(1)), n = static_cast<std::size_t>(a.dim(0));
    double sum = 0;
    for (std::size_t i = 0; i < n; ++i)
        sum += distance(softmax(a.values().subspan(i * classes, classes)),
                        softmax(b.values().subspan(i * classes, classes)));
    return sum / static_cast<double>(n);
}

void add_tensor(TensorDistance& entry, double& before_square, const Tensor& before, const Tensor& after) {
    double square = entry.distance * entry.distance;
    const std::span<const float> from = before.values(), to = after.values();
    for (std::size_t i = 0; i < from.size(); ++i) {
        const double change = static_cast<double>(to[i]) - static_cast<double>(from[i]);
        square += change * change;
        before_square += static_cast<double>(from[i]) * static_cast<double>(from[i]);
        entry.moved += std::memcmp(&from[i], &to[i], sizeof(float)) != 0 ? 1 : 0;
    }
    entry.values += before.numel();
    entry.distance = std::sqrt(square);
    if (before_square > 0)
        entry.relative = entry.distance / std::sqrt(before_square);
    else
        entry.relative = entry.distance > 0 ? std::numeric_limits<double>::infinity() : 0;
}

// The mean softmax of each class's rows, by label; classes without a row are left out.
std::map<int64_t, std::vector<double>> class_means(const LabelledLogits& given) {
    const auto classes = static_cast<std::size_t>(given.logits.dim(1));
    check(given.logits.dim(0) == static_cast<int64_t>(given.labels.size()), "distances: ", given.labels.size(),
          " labels for ", given.logits.dim(0), " rows of logits");
    std::map<int64_t, std::vector<double>> means;
    std::map<int64_t, double> rows;
    for (std::size_t i = 0; i < given.labels.size(); ++i) {
        check(given.labels[i] >= 0 && given.labels[i] < given.logits.dim(1), "distances: label ", given.labels[i],
              " is outside [0, ", classes, ")");
        std::vector<double>& mean = means[given.labels[i]];
        mean.resize(classes);
        const std::vector<double> p = softmax(given.logits.values().subspan(i * classes, classes));
        for (std::size_t j = 0; j < classes; ++j) mean[j] += p[j];
        ++rows[given.labels[i]];
    }
    for (auto& [label, mean] : means)
        for (double& value : mean) value /= rows[label];
    return means;
}

}  // namespace

std::vector<double> softmax(std::span<const float> logits) {
    check(std::all_of(logits.begin(), logits.end(), [](float z) { return std::isfinite(z); }),
          "distances: a logit is not a finite number; has the model diverged?");
    const double whole = log_sum_exp(logits);
    std::vector<double> p;
    for (const float z : logits) p.push_back(std::exp(static_cast<double>(z) - whole));
    return p;
}

double jensen_shannon(std::span<const double> p, std::span<const double> q) {
    check(p.size() == q.size(), "distances: ", p.size(), " and ", q.size(), " outcomes");
    const auto term = [](double value, double middle) { return value > 0 ? value * std::log2(value / middle) : 0; };
    double sum = 0;
    for (std::size_t j = 0; j < p.size(); ++j) {
        const double middle = (p[j] + q[j]) / 2;
        sum += (term(p[j], middle) + term(q[j], middle)) / 2;
    }
    return sum;
}

Quantiles quantiles_of(std::vector<double> values) {
    check(!values.empty(), "quantiles: there are no values");
    check(std::none_of(values.begin(), values.end(), [](double value) { return std::isnan(value); }),
          "quantiles: a value is not a number; has the model diverged?");
    std::sort(values.begin(), values.end());
    const auto quantile = [&](double q) {
        const double at = q * static_cast<double>(values.size() - 1);
        const auto low = static_cast<std::size_t>(at);
        const std::size_t high = std::min(low + 1, values.size() - 1);
        return values[low] + (at - static_cast<double>(low)) * (values[high] - values[low]);
    };
    return {values.front(), quantile(0.05),
            quantile(0.25), quantile(0.5),
            quantile(0.75), quantile(0.95),
            values.back(),  std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size())};
}

double activation_distance(const Tensor& a, const Tensor& b) {
    return mean_over_rows(a, b, [](const std::vector<double>& p, const std::vector<double>& q) {
        double square = 0;
        for (std::size_t j = 0; j < p.size(); ++j) square += (p[j] - q[j]) * (p[j] - q[j]);
        return std::sqrt(square);
    });
}

double jensen_shannon(const Tensor& a, const Tensor& b) {
    return mean_over_rows(a, b, [](const std::vector<double>& p, const std::vector<double>& q) {
        return jensen_shannon(std::span<const double>(p), std::span<const double>(q));
    });
}

std::optional<double> retrain_free_jsd(const LabelledLogits& forget, const LabelledLogits& test_before) {
    check(forget.logits.dim(1) == test_before.logits.dim(1), "distances: logits of ", forget.logits.dim(1), " and ",
          test_before.logits.dim(1), " classes");
    const std::map<int64_t, std::vector<double>> after = class_means(forget), unseen = class_means(test_before);
    double sum = 0;
    int64_t classes = 0;
    for (const auto& [label, mean] : after) {
        const auto found = unseen.find(label);
        if (found == unseen.end()) continue;
        sum += jensen_shannon(std::span<const double>(mean), std::span<const double>(found->second));
        ++classes;
    }
    if (classes == 0) return std::nullopt;
    return sum / static_cast<double>(classes);
}

WeightDistance weight_distance(const StateDict& before, const StateDict& after) {
    check(before.size() == after.size(), "weight distance: ", before.size(), " entries before, ", after.size(),
          " after; both must be of one architecture");
    WeightDistance result;
    result.parameters.name = "parameters";
    result.buffers.name = "buffers";
    result.buffers.buffer = true;
    double parameters_square = 0, buffers_square = 0;
    for (std::size_t i = 0; i < before.size(); ++i) {
        const auto& [name, from] = before[i];
        const auto& [other_name, to] = after[i];
        check(name == other_name && from.shape() == to.shape() && from.dtype() == to.dtype(), "weight distance: ", name,
              " before is ", other_name, " after; both must be of one architecture");
        if (from.dtype() != DType::float32) continue;
        TensorDistance entry;
        entry.name = name;
        entry.buffer = name.ends_with("running_mean") || name.ends_with("running_var");
        double square = 0;
        const Tensor old_values = from.cpu(), new_values = to.cpu();
        add_tensor(entry, square, old_values, new_values);
        add_tensor(entry.buffer ? result.buffers : result.parameters, entry.buffer ? buffers_square : parameters_square,
                   old_values, new_values);
        result.tensors.push_back(entry);
    }
    return result;
}

double tug_of_war(std::span<const double> accuracies, std::span<const double> oracle) {
    check(accuracies.size() == oracle.size() && !oracle.empty(), "tug of war: ", accuracies.size(), " accuracies and ",
          oracle.size(), " of the oracle");
    double product = 1;
    for (std::size_t i = 0; i < oracle.size(); ++i) product *= 1 - std::abs(accuracies[i] - oracle[i]);
    return product;
}

}  // namespace lethe
