// Fisher forgetting: noise on every weight, the more the less D_r depends on it.
#include "unlearn/dampening.h"
#include "unlearn/importance.h"
#include "unlearn/method_step.h"

namespace lethe::method {
namespace {

class FisherNoiseStep : public OneShot {
public:
    explicit FisherNoiseStep(const StepContext& context) : context_(context) {}

private:
    void change() override {
        const StateDict fisher = mean_over(context_.task.retained, [&](const StepBatch& batch) {
            return fisher_diagonal(context_.model, batch.images, batch.labels);
        });
        add_fisher_noise(context_.model, fisher, context_.options.compare.noise_alpha, context_.options.seed);
    }

    StepContext context_;
};

}  // namespace

Method fisher_noise() {
    return {.name = "fisher-noise",
            .formula = "theta + (alpha / F_r)^(1/4) n, n ~ N(0, 1), F_r the diagonal of the Fisher information of D_r",
            .data = "D_f + D_r",
            .source = "Golatkar et al., \"Eternal Sunshine of the Spotless Net\", CVPR 2020",
            .until = Until::one_step,
            .make = make_step<FisherNoiseStep>};
}

}  // namespace lethe::method
