// Train on without D_f, and count on its being forgotten by itself ("catastrophic forgetting").
#include "unlearn/method_step.h"

namespace lethe::method {
namespace {

class FinetuneStep : public MethodStep {
public:
    explicit FinetuneStep(const StepContext& context) : losses_(context) {}

    void accumulate(int64_t step, StepTrace& trace) override {
        trace.retain_loss = losses_.cross_entropy(losses_.retained_batch(step), 1.0);
    }

private:
    StepLosses losses_;
};

}  // namespace

Method finetune() {
    return {
        .name = "finetune",
        .formula = "min CE(f(x_r), y_r), a fixed number of steps",
        .data = "D_f + D_r",
        .source = "Golatkar et al., \"Eternal Sunshine of the Spotless Net\", CVPR 2020; Warnecke et al., NDSS 2023",
        .until = Until::budget,
        .make = make_step<FinetuneStep>};
}

}  // namespace lethe::method
