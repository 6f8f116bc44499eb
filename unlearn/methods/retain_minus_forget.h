// Down on D_r, up on D_f.
#pragma once

#include "unlearn/method_step.h"

namespace lethe::method {

// Minimises retain * CE(D_r) - forget * CE(D_f). D_f comes first, so that BatchNorm's running statistics have seen D_r
// last.
class RetainMinusForget : public MethodStep {
public:
    RetainMinusForget(const StepContext& context, double retain, double forget)
        : losses_(context), retain_(retain), forget_(forget) {}

    void accumulate(int64_t step, StepTrace& trace) override {
        trace.forget_loss = losses_.cross_entropy(losses_.forget_batch(step), -forget_);
        trace.retain_loss = losses_.cross_entropy(losses_.retained_batch(step), retain_);
    }

private:
    StepLosses losses_;
    double retain_, forget_;
};

}  // namespace lethe::method
