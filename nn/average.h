// An exponential moving average of a model's weights, which often recognises more than the weights themselves.
#pragma once

#include <memory>
#include <vector>

#include "nn/model.h"
#include "tensor/backend.h"

namespace lethe {

// After each step every parameter and every BatchNorm statistic of the average moves towards the model's by 1 - d,
// where d = min(decay, (1 + t) / (10 + t)) at step t = 1, 2, ... (as TensorFlow's ExponentialMovingAverage with
// num_updates), so that the initial weights are soon forgotten. Counters ("num_batches_tracked") are the model's.
class WeightAverage {
public:
    // Starts as a copy of `model`, which must outlive it and stay on its device. Throws Error unless 0 < decay < 1.
    WeightAverage(const Model& model, float decay);

    // One step, in two parts as Optimizer's: the second may be recorded (StepGraph).
    void prepare_step(int64_t step);
    void apply_step();

    // The averaged model.
    const Model& model();
    void load_state(const StateDict& state);

private:
    const Model& source_;
    std::unique_ptr<Model> average_;
    std::vector<EmaItem> items_;
    Ema op_;
};

}  // namespace lethe
