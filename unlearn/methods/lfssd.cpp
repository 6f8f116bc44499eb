// Selective synaptic dampening without labels: importance is what the output's length depends on.
#include "unlearn/dampening.h"
#include "unlearn/importance.h"
#include "unlearn/method_step.h"

namespace lethe::method {
namespace {

class LfssdStep : public OneShot {
public:
    explicit LfssdStep(const StepContext& context) : context_(context) {}

private:
    void change() override {
        const ForgetTask& task = context_.task;
        const ComparisonOptions& options = context_.options.compare;
        const StateDict forget = mas_importance(context_.model, task.images, {});
        const StateDict retain = mean_over(
            task.retained, [&](const StepBatch& batch) { return mas_importance(context_.model, batch.images, {}); });
        dampen(context_.model, forget, retain, options.dampening_alpha, options.dampening_lambda);
    }

    StepContext context_;
};

}  // namespace

Method lfssd() {
    return {.name = "lfssd",
            .formula = "theta min(1, lambda M_r / M_f) where M_f > alpha M_r, M = mean |d |f(x)|^2 / d theta|",
            .data = "D_f + D_r",
            .source = "Foster et al., \"Loss-Free Machine Unlearning\", Tiny Papers at ICLR 2024",
            .until = Until::one_step,
            .make = make_step<LfssdStep>};
}

}  // namespace lethe::method
