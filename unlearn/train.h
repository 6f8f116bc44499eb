// Training a classifier from its initialisation: cross entropy, crop + flip, cosine schedule.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>

#include "data/dataset.h"
#include "nn/model.h"
#include "nn/optim.h"

namespace lethe {

struct TrainOptions {
    int64_t epochs = 20;
    int64_t batch_size = 128;
    OptimizerSpec optimizer{.name = "sgd", .lr = 0.1f, .momentum = 0.9f, .nesterov = true, .weight_decay = 5e-4f};
    std::string schedule = "cosine";  // "cosine" (to 0 over all steps, Loshchilov and Hutter 2017) or "constant"
    int64_t warmup_steps = 0;         // linear from 0
    bool augment = true;
    int64_t crop_pad = 4;
    uint64_t seed = 0;

    void validate() const;
};

struct TrainTrace {
    int64_t epoch = 0, step = 0, steps_per_epoch = 0;
    double loss = 0, lr = 0;         // of this step
    int64_t correct = 0, total = 0;  // of this step's batch, under training statistics
    double seconds = 0;
};

struct TrainState {
    int64_t step = 0;
    double seconds = 0;
    StateDict weights, optimizer;
};

// Trains `model` in place on all of `data`. Batch order comes from Purpose::shuffle (item = epoch), augmentation from
// Purpose::augment (item = epoch * size + position). A last short batch is used, not dropped. on_step as in unlearn().
// Throws Error when the loss stops being a finite number, naming the step.
void train(Model& model, const Dataset& data, const TrainOptions& options,
           const std::function<bool(const TrainTrace&, const std::function<TrainState()>&)>& on_step = {},
           const std::optional<TrainState>& resume = {});

}  // namespace lethe
