// Training a classifier from its initialisation: cross entropy, augmentation, a schedule, evaluation after epochs.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "data/dataset.h"
#include "nn/model.h"
#include "nn/schedule.h"
#include "unlearn/metrics.h"

namespace lethe {

struct TrainOptions {
    int64_t epochs = 20;
    int64_t batch_size = 128;
    OptimizerSpec optimizer{.name = "sgd", .lr = 0.1f, .momentum = 0.9f, .nesterov = true, .weight_decay = 5e-4f};
    ScheduleSpec schedule{};
    float label_smoothing = 0.0f;
    float ema = 0.0f;  // decay of the average of the weights (nn/average.h), which is then the result; 0: none
    // The random steps of the dataset's transform, if it has some; else zero padding by crop_pad, crop and flip.
    bool augment = true;
    int64_t crop_pad = 4;
    int64_t evaluate_every = 1;  // epochs, and after the last one
    uint64_t seed = 0;

    void validate() const;  // throws Error naming the option and its range
};

// What is trained on, and what is evaluated during training. The datasets must outlive whoever uses this.
struct TrainData {
    const Dataset& train;
    std::vector<int64_t> indices{};             // images of `train` to train on; empty: all
    const Dataset* evaluation = nullptr;        // null: nothing is evaluated
    std::vector<int64_t> evaluation_indices{};  // of `evaluation`; empty: all
};

// `count` of `size` images held out for validation, drawn from Purpose::validation; both lists ascending. Throws Error
// unless both get at least one.
struct HeldOut {
    std::vector<int64_t> train, validation;
};
HeldOut hold_out(int64_t size, int64_t count, uint64_t seed);

struct Score {
    Accuracy accuracy;
    double loss = 0;  // mean cross entropy, not smoothed
    // More images right, or as many with a lower loss.
    bool better_than(const Score& other) const;
};

// The end of an epoch.
struct EpochTrace {
    int64_t epoch = 0;  // counted from 0
    double loss = 0;    // mean over its steps' images, as minimised
    Accuracy training;  // of the augmented batches, each before its step
    double lr = 0;      // of its last step
    std::optional<Score> evaluation;
    bool best = false;  // the evaluation is the best so far
    double seconds = 0;
};

struct TrainTrace {
    int64_t epoch = 0, step = 0, steps_per_epoch = 0;  // epochs count from 0, steps from 1
    double loss = 0, lr = 0;                           // of this step
    double gradient_norm = 0;                          // before clipping, with clip_norm only
    int64_t correct = 0, total = 0;                    // of this step's batch, under training statistics
    double seconds = 0;
    std::optional<EpochTrace> epoch_end;  // after the last step of an epoch
};

// Everything that a training needs to go on after step `step` and end with the same bits.
struct TrainState {
    int64_t step = 0;
    double seconds = 0;
    double epoch_loss = 0;  // the present epoch so far: the sum of its images' losses
    Accuracy epoch_training;
    int64_t best_epoch = -1;  // -1: none yet
    Score best;
    StateDict weights{}, optimizer{}, average{};  // average is empty without TrainOptions::ema
};

// Trains a model in place, step by step. Batch order comes from Purpose::shuffle (item = epoch), augmentation from
// Purpose::augment (item = epoch * size + position). A last short batch is used, not dropped.
class Training {
public:
    // `model` and what `data` refers to must outlive this. Throws Error for bad options, for data without images, for
    // an index out of range and for a label that the model has no class for.
    Training(Model& model, TrainData data, const TrainOptions& options);
    ~Training();

    int64_t steps() const;  // all of them
    bool done() const;
    // One step; after the last of an epoch also the evaluation, where it is due. Throws Error when the loss stops being
    // a finite number, naming the step.
    TrainTrace step();

    // What was trained: the model or, with TrainOptions::ema, its average. This is what is evaluated.
    const Model& result();

    TrainState snapshot();
    void load(const TrainState& state);  // throws Error where it does not fit

private:
    class Loop;
    std::unique_ptr<Loop> loop_;
};

// All of it, for those who need no trace.
void train(Model& model, const Dataset& data, const TrainOptions& options);

}  // namespace lethe
