// Every metric of one model: what `lethe measure` writes (docs/metrics.md describes each key).
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "nn/model.h"
#include "unlearn/metrics/reemergence.h"
#include "unlearn/metrics/relearn.h"
#include "unlearn/run_directory.h"

namespace lethe {

struct MeasureOptions {
    ViewOptions views;
    RelearnOptions relearn;
    int64_t folds = 5;     // of the logistic attack; fewer where D_f is smaller, none for a single image
    int64_t limit = 2000;  // images of D_r and of D_test, evenly spread; 0 = all
    uint64_t seed = 0;

    void validate() const;  // throws Error naming the option and its range
};

// Measures models against the one before. The datasets and `before` must outlive it.
class Measurement {
public:
    // Throws Error for options out of range, an empty D_f or sets that leave no image to compare with.
    Measurement(const Model& before, const Dataset& train, const Dataset& test, std::vector<int64_t> forget,
                const MeasureOptions& options);
    // A model retrained without D_f, for "tow" of what is measured afterwards.
    void set_oracle(const Model& oracle);

    // Everything about `model`, which stays as it is. A model with a logit that is not finite gets "diverged": true and
    // nothing else: its answers are none.
    Json measure(const std::string& name, const Model& model) const;

private:
    struct Outputs {
        Tensor forget, retain, test;  // logits
        bool finite() const;
    };
    Outputs outputs_of(const Model& model) const;
    std::vector<double> accuracies(const Outputs& outputs) const;
    Json membership(const Outputs& outputs) const;
    Json margins(const Outputs& outputs) const;
    Json reemergence_of(const Model& model) const;

    const Model& before_;
    const Dataset &train_, &test_;
    MeasureOptions options_;
    std::vector<int64_t> forget_, retain_, tested_;
    std::vector<int64_t> forget_labels_, retain_labels_, test_labels_;
    std::vector<uint64_t> items_;
    Tensor images_, random_forget_, random_test_;
    Outputs outputs_before_;
    int64_t relearn_goal_ = 1;
    std::optional<std::vector<double>> oracle_;
};

// One row per arm, with the good direction under each title.
std::string measure_table(const Json& arms);

}  // namespace lethe
