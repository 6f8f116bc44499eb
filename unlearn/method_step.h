// What one step of a method is, where the flags of Method do not say it; and what such steps are made of.
#pragma once

#include <memory>
#include <span>

#include "unlearn/retained.h"
#include "unlearn/step_terms.h"
#include "unlearn/unlearn.h"

namespace lethe {

// What a run works on; all of it outlives the step. The model holds the original weights when a step is made, also
// when the run is then resumed from a checkpoint: whatever is derived from them is derived there.
struct StepContext {
    Model& model;
    const ForgetTask& task;
    const UnlearnOptions& options;
};

// What it does follows from the context and the number of the step alone, so that a resumed run has the same bits.
class MethodStep {
public:
    virtual ~MethodStep() = default;
    // Adds the gradient of what step `step` (from 0) minimises to the model's parameters, which have none, and notes
    // the losses in `trace`.
    virtual void accumulate(int64_t step, StepTrace& trace) = 0;
    // Changes the weights.
    virtual void apply(Optimizer& optimizer) { optimizer.step(); }
};

// A Method's `make`.
template <class Step>
std::unique_ptr<MethodStep> make_step(const StepContext& context) {
    return std::make_unique<Step>(context);
}

// A step that changes the weights once, without a gradient of a loss.
class OneShot : public MethodStep {
public:
    void accumulate(int64_t /*step*/, StepTrace& /*trace*/) final {}
    void apply(Optimizer& /*optimizer*/) final { change(); }

private:
    virtual void change() = 0;
};

// The batches of a step and the terms of its loss.
class StepLosses {
public:
    explicit StepLosses(const StepContext& context);

    // The next images of D_f, as the other methods get them, with these labels for all of D_f; and the next of D_r.
    StepBatch forget_batch(int64_t step, std::span<const int64_t> labels) const;
    StepBatch forget_batch(int64_t step) const { return forget_batch(step, context_.task.labels); }
    StepBatch retained_batch(int64_t step) { return retained_.batch(step); }

    // Adds the gradient of weight * mean CE; returns mean CE.
    double cross_entropy(const StepBatch& batch, double weight) {
        return gradients_.cross_entropy(cross_entropy_, batch, weight);
    }
    // Adds the gradient of weight * mean KL(target || softmax(f(x))); returns f(x) on the CPU.
    Tensor divergence(const StepBatch& batch, const Tensor& target, double weight) {
        return gradients_.divergence(divergence_, batch.images, target, static_cast<float>(weight));
    }

private:
    StepContext context_;
    Gradients gradients_;
    RetainedBatches retained_;
    Terms cross_entropy_, divergence_;
};

// softmax(f(x)) of a folded network, on the CPU: what divergences are taken from.
Tensor opinion(Model& teacher, const StepBatch& batch);
// A network of the model's architecture with weights of its own, drawn apart from those that `lethe train` begins with
// under the same seed. On the model's device.
std::unique_ptr<Model> untrained(const Model& model, uint64_t seed);

}  // namespace lethe
