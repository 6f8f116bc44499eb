// Selective synaptic dampening: weights that matter far more for D_f than for the other images are made smaller, once.
#include "unlearn/dampening.h"
#include "unlearn/importance.h"
#include "unlearn/method_step.h"

namespace lethe::method {
namespace {

class SsdStep : public OneShot {
public:
    explicit SsdStep(const StepContext& context) : context_(context) {}

private:
    void change() override {
        const ForgetTask& task = context_.task;
        const ComparisonOptions& options = context_.options.compare;
        const StateDict forget =
            fisher_diagonal(context_.model, task.images, Tensor::from_int64({task.images.dim(0)}, task.labels));
        const StateDict retain = mean_over(task.retained, [&](const StepBatch& batch) {
            return fisher_diagonal(context_.model, batch.images, batch.labels);
        });
        dampen(context_.model, forget, retain, options.dampening_alpha, options.dampening_lambda);
    }

    StepContext context_;
};

}  // namespace

Method ssd() {
    return {
        .name = "ssd",
        .formula = "theta min(1, lambda F_r / F_f) where F_f > alpha F_r, F the diagonals of the Fisher information",
        .data = "D_f + D_r",
        .source =
            "Foster et al., \"Fast Machine Unlearning without Retraining through Selective Synaptic "
            "Dampening\", AAAI 2024",
        .until = Until::one_step,
        .make = make_step<SsdStep>};
}

}  // namespace lethe::method
