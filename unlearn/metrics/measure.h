// Every metric of one model: what `lethe measure` writes (docs/metrics.md describes each key).
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "nn/features.h"
#include "nn/model.h"
#include "unlearn/metrics/attack_sheet.h"
#include "unlearn/metrics/drift.h"
#include "unlearn/metrics/reemergence.h"
#include "unlearn/metrics/relearn.h"
#include "unlearn/run_directory.h"

namespace lethe {

struct MeasureOptions {
    ViewOptions views;
    RelearnOptions relearn;
    float last_layer_lr = 0.1f;       // of relearn-last-layer, whose few weights need larger steps
    int64_t folds = 5;                // of the logistic attack; fewer where D_f is smaller, none for a single image
    int64_t limit = 2000;             // images of D_r and of D_test, evenly spread; 0 = all
    int64_t sample = 1000;            // at most so many of these for features and BatchNorm's statistics; 0 = all
    std::vector<int64_t> earlier;     // training images that were forgotten before these: they are not D_r
    std::vector<std::string> chosen;  // names of metrics; empty: all
    uint64_t seed = 0;

    void validate() const;  // throws Error naming the option and its range, or a metric that there is not
    bool wants(const std::string& metric) const;
};

// Measures models against the one before. The datasets and `before` must outlive it.
class Measurement {
public:
    // Throws Error for options out of range, an empty D_f or sets that leave no image to compare with.
    Measurement(const Model& before, const Dataset& train, const Dataset& test, std::vector<int64_t> forget,
                const MeasureOptions& options);
    // What else some metrics of what is measured afterwards compare with; without it they are left out.
    void set_oracle(const Model& oracle);       // a model retrained without D_f
    void set_importance(StateDict importance);  // of the run's penalty
    // Adversarial images of D_f, in its order, with their targets and whether they hit.
    void set_attack(const ImageRows& rows, std::vector<int64_t> targets, std::vector<bool> hits);

    // Everything about `model`, which stays as it is. A model with a logit that is not finite gets "diverged": true and
    // nothing else: its answers are none.
    Json measure(const std::string& name, const Model& model);

    // Of the whole run and no single model: "attack" and "importance", where they are known.
    Json run_json() const;
    // write_drift_picture() of the models measured so far; false where there is nothing to draw.
    bool draw_drift(const std::filesystem::path& path) const;

private:
    struct Outputs {
        Tensor forget, retain, test;  // logits
        bool finite() const;
    };
    // Of D_f and the samples of D_r and D_test.
    struct Layers {
        Features forget, retain, test;
    };
    // A model that is measured, with what several metrics want of it.
    struct Arm {
        std::string name;
        const Model& model;
        Model& twin;
        Outputs outputs;
        Layers layers;
    };
    using Compute = Json (Measurement::*)(const Arm&);
    static const std::vector<std::pair<const char*, Compute>>& computations();
    bool applies(const std::string& metric) const;

    Outputs outputs_of(Model& twin) const;
    Layers layers_of(Model& twin) const;
    Json accuracies_of(Model& twin) const;  // of D_f and the samples
    std::vector<double> accuracies(const Outputs& outputs) const;

    Json reemergence_of(const Arm& arm);
    Json loss_attack(const Arm& arm);
    Json logistic(const Arm& arm);
    Json svc(const Arm& arm);
    Json relearn_all(const Arm& arm);
    Json relearn_last(const Arm& arm);
    Json margins(const Arm& arm);
    Json activation(const Arm& arm);
    Json zero_retrain(const Arm& arm);
    Json retrain_free(const Arm& arm);
    Json neighbours(const Arm& arm);
    Json cka(const Arm& arm);
    Json nearest(const Arm& arm);
    Json linear_probe(const Arm& arm);
    Json batchnorm(const Arm& arm);
    Json weights(const Arm& arm);
    Json drift(const Arm& arm);
    Json transfer(const Arm& arm);
    Json tow(const Arm& arm);
    Json oracle_distance(const Arm& arm);

    const Model& before_;
    const Dataset &train_, &test_;
    MeasureOptions options_;
    std::vector<int64_t> forget_, retain_, tested_;
    std::vector<int64_t> forget_labels_, retain_labels_, test_labels_;
    std::vector<int64_t> retain_sample_labels_, test_sample_labels_;
    std::vector<uint64_t> items_;
    Tensor images_, retain_sample_, test_sample_;
    Tensor random_forget_, random_test_;     // logits of a model that was never trained
    Tensor neighbours_, neighbours_before_;  // and their logits
    Outputs outputs_before_;
    Layers layers_before_;
    int64_t relearn_goal_ = 1;
    std::optional<Outputs> oracle_;
    StateDict importance_;
    std::optional<AttackSet> attack_;
    std::vector<std::pair<std::string, DriftReport>> drifts_;
};

// One row per arm, with the good direction under each title; "-" for what was not measured.
std::string measure_table(const Json& arms);

}  // namespace lethe
