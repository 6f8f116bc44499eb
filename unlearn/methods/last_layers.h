// Train the last layers on D_r, leave the others.
#pragma once

#include "unlearn/method_step.h"
#include "unlearn/weight_subset.h"

namespace lethe::method {

// Minimises CE(f(x_r), y_r) in the last k layers.
class LastLayers : public MethodStep {
public:
    explicit LastLayers(const StepContext& context)
        : losses_(context), frozen_(context.model, context.options.compare.last_layers) {}

    void accumulate(int64_t step, StepTrace& trace) override {
        trace.retain_loss = losses_.cross_entropy(losses_.retained_batch(step), 1.0);
    }

    void apply(Optimizer& optimizer) override {
        optimizer.step();
        frozen_.restore();
    }

private:
    StepLosses losses_;
    FrozenBelow frozen_;
};

}  // namespace lethe::method
