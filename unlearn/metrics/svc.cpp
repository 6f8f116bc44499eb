#include <libsvm/svm.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>

#include "tensor/error.h"
#include "tensor/random.h"
#include "unlearn/metrics/membership.h"

namespace lethe {
namespace {

constexpr std::size_t svc_features = 4;
using FeatureRow = std::array<double, svc_features>;

FeatureRow row_of(const OutputFeatures& features) {
    return {features.correct, features.confidence, features.entropy, features.modified_entropy};
}

std::vector<FeatureRow> rows_of(std::span<const OutputFeatures> features) {
    std::vector<FeatureRow> rows;
    for (const OutputFeatures& each : features) rows.push_back(row_of(each));
    return rows;
}

// Mean 0 and deviation 1 over `training`, in all of the sets.
void standardise(const std::vector<FeatureRow>& training, std::span<std::vector<FeatureRow>* const> sets) {
    const auto n = static_cast<double>(training.size());
    for (std::size_t f = 0; f < svc_features; ++f) {
        double mean = 0, variance = 0;
        for (const FeatureRow& row : training) mean += row[f] / n;
        for (const FeatureRow& row : training) variance += (row[f] - mean) * (row[f] - mean) / n;
        const double deviation = variance > 0 ? std::sqrt(variance) : 1.0;
        for (std::vector<FeatureRow>* set : sets)
            for (FeatureRow& row : *set) row[f] = (row[f] - mean) / deviation;
    }
}

// A support vector machine on columns [first, last): +1 for members.
class Svc {
public:
    Svc(const std::vector<FeatureRow>& members, const std::vector<FeatureRow>& non_members, std::size_t first,
        std::size_t last)
        : first_(first), last_(last) {
        for (const auto* set : {&members, &non_members})
            for (const FeatureRow& row : *set) {
                nodes_.push_back(nodes_of(row));
                labels_.push_back(set == &members ? 1 : -1);
            }
        for (auto& nodes : nodes_) pointers_.push_back(nodes.data());
        svm_problem problem{static_cast<int>(labels_.size()), labels_.data(), pointers_.data()};
        svm_parameter parameter{};
        parameter.svm_type = C_SVC;
        parameter.kernel_type = RBF;
        parameter.gamma = 1.0 / static_cast<double>(last - first);
        parameter.C = 3;
        parameter.cache_size = 64;  // MB
        parameter.eps = 1e-3;
        parameter.shrinking = 1;
        svm_set_print_string_function([](const char*) {});
        const char* complaint = svm_check_parameter(&problem, &parameter);
        check(complaint == nullptr, "support vector machine: ", complaint == nullptr ? "" : complaint);
        model_.reset(svm_train(&problem, &parameter));
    }

    double share_called_member(const std::vector<FeatureRow>& rows) const {
        const auto called = std::count_if(rows.begin(), rows.end(), [&](const FeatureRow& row) {
            return svm_predict(model_.get(), nodes_of(row).data()) > 0;
        });
        return static_cast<double>(called) / static_cast<double>(rows.size());
    }

private:
    using Nodes = std::array<svm_node, svc_features + 1>;

    Nodes nodes_of(const FeatureRow& row) const {
        Nodes nodes{};
        std::size_t at = 0;
        for (std::size_t f = first_; f < last_; ++f) nodes[at++] = {static_cast<int>(f - first_) + 1, row[f]};
        nodes[at].index = -1;
        return nodes;
    }

    struct Free {
        void operator()(svm_model* model) const { svm_free_and_destroy_model(&model); }
    };

    std::size_t first_, last_;
    std::vector<Nodes> nodes_;  // the model points into it
    std::vector<double> labels_;
    std::vector<svm_node*> pointers_;
    std::unique_ptr<svm_model, Free> model_;
};

// The first and the second half of `size` drawn rows.
std::pair<std::vector<FeatureRow>, std::vector<FeatureRow>> halves(const std::vector<FeatureRow>& rows,
                                                                   std::size_t size, uint64_t seed, uint64_t item) {
    const auto order = Random(seed, Purpose::fold).permutation(static_cast<int64_t>(rows.size()), item);
    std::pair<std::vector<FeatureRow>, std::vector<FeatureRow>> result;
    for (std::size_t i = 0; i < size; ++i)
        (i < size / 2 ? result.first : result.second).push_back(rows[static_cast<std::size_t>(order[i])]);
    return result;
}

OutputFeatures features_of(std::span<const float> logits, std::size_t label) {
    const auto top = static_cast<std::size_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
    std::vector<double> p(logits.size());
    double sum = 0;
    for (std::size_t j = 0; j < p.size(); ++j)
        sum += p[j] = std::exp(static_cast<double>(logits[j]) - static_cast<double>(logits[top]));
    const double log_sum = std::log(sum);
    const auto log_p = [&](std::size_t j) {
        return static_cast<double>(logits[j]) - static_cast<double>(logits[top]) - log_sum;
    };
    for (double& value : p) value /= sum;
    // 1 - p_j is what the others have: of the largest it would be lost in a difference.
    const auto others = [&](std::size_t j) {
        if (j != top) return 1 - p[j];
        double rest = 0;
        for (std::size_t i = 0; i < p.size(); ++i) rest += i == j ? 0 : p[i];
        return rest;
    };
    OutputFeatures features;
    features.correct = top == label ? 1 : 0;
    features.confidence = p[label];
    for (std::size_t j = 0; j < p.size(); ++j) {
        features.entropy -= p[j] * log_p(j);
        // p_j = 1 but for rounding: log(1 - p_j) is at least that of the smallest double.
        const double rest = std::max(others(j), std::numeric_limits<double>::min());
        features.modified_entropy -= j == label ? rest * log_p(j) : p[j] * std::log(rest);
    }
    return features;
}

}  // namespace

std::vector<OutputFeatures> output_features(const Tensor& logits, std::span<const int64_t> labels) {
    check(logits.defined() && logits.rank() == 2 && logits.dim(0) == static_cast<int64_t>(labels.size()),
          "membership inference: ", labels.size(), " labels do not fit the logits");
    const auto classes = static_cast<std::size_t>(logits.dim(1));
    std::vector<OutputFeatures> features;
    for (std::size_t i = 0; i < labels.size(); ++i) {
        const std::span<const float> row = logits.values().subspan(i * classes, classes);
        check(labels[i] >= 0 && labels[i] < logits.dim(1), "membership inference: label ", labels[i],
              " is outside [0, ", classes, ")");
        check(std::all_of(row.begin(), row.end(), [](float z) { return std::isfinite(z); }),
              "membership inference: a logit is not a finite number; has the model diverged?");
        features.push_back(features_of(row, static_cast<std::size_t>(labels[i])));
    }
    return features;
}

std::vector<SvcAttack> svc_attack(std::span<const OutputFeatures> forget, std::span<const OutputFeatures> retain,
                                  std::span<const OutputFeatures> test, uint64_t seed) {
    check(!forget.empty() && retain.size() >= 4 && test.size() >= 4, "membership inference: ", retain.size(),
          " retained and ", test.size(), " test images; at least 4 of both, and one to ask about, are needed");
    const std::size_t size = std::min(retain.size(), test.size());
    auto [members, held_members] = halves(rows_of(retain), size, seed, 2);
    auto [others, held_others] = halves(rows_of(test), size, seed, 3);
    std::vector<FeatureRow> asked = rows_of(forget), training = members;
    training.insert(training.end(), others.begin(), others.end());
    const std::array<std::vector<FeatureRow>*, 5> sets{&members, &held_members, &others, &held_others, &asked};
    standardise(training, sets);

    static const std::array<const char*, svc_features> names{"correct", "confidence", "entropy", "modified-entropy"};
    std::vector<SvcAttack> attacks;
    const auto attack = [&](const char* name, std::size_t first, std::size_t last) {
        const Svc svc(members, others, first, last);
        const double test_out = 1 - svc.share_called_member(held_others);
        attacks.push_back({.feature = name,
                           .forget_out = 1 - svc.share_called_member(asked),
                           .test_out = test_out,
                           .accuracy = (svc.share_called_member(held_members) + test_out) / 2});
    };
    for (std::size_t f = 0; f < svc_features; ++f) attack(names[f], f, f + 1);
    attack("all", 0, svc_features);
    return attacks;
}

}  // namespace lethe
