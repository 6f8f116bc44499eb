// Teach D_f labels that are not its own.
#pragma once

#include <optional>

#include "unlearn/method_step.h"
#include "unlearn/weight_subset.h"

namespace lethe::method {

// Minimises CE(f(x), y') over D_f + retain * CE(f(x_r), y_r); D_r is not looked at where retain is 0.
class Relabelled : public MethodStep {
public:
    Relabelled(const StepContext& context, std::vector<int64_t> labels, double retain = 0)
        : losses_(context), labels_(std::move(labels)), retain_(retain) {}

    // From now on only the share of the weights moves that matters most for D_f's own labels.
    void hold_the_others(const StepContext& context) {
        held_.emplace(context.model,
                      salient_weights(context.model, context.task.images, context.task.labels,
                                      context.options.compare.salient_share, context.options.forget_batch));
    }

    void accumulate(int64_t step, StepTrace& trace) override {
        trace.forget_loss = losses_.cross_entropy(losses_.forget_batch(step, labels_), 1.0);
        if (retain_ > 0) trace.retain_loss = losses_.cross_entropy(losses_.retained_batch(step), retain_);
    }

    void apply(Optimizer& optimizer) override {
        optimizer.step();
        if (held_) held_->restore();
    }

private:
    StepLosses losses_;
    std::vector<int64_t> labels_;
    double retain_;
    std::optional<HeldWeights> held_;
};

// Another label for each image of D_f, drawn once from the run's seed.
std::vector<int64_t> random_labels(const StepContext& context);

}  // namespace lethe::method
