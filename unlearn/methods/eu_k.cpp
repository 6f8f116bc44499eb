// Exact unlearning of the last k layers: they begin anew and never see D_f; what the layers below keep of it stays.
#include "unlearn/methods/last_layers.h"

namespace lethe::method {
namespace {

class EuKStep : public LastLayers {
public:
    explicit EuKStep(const StepContext& context) : LastLayers(context) {
        const StateDict own = context.model.state(), fresh = untrained(context.model, context.options.seed)->state();
        for (std::size_t i = last_layers_begin(context.model, context.options.compare.last_layers); i < own.size();
             ++i) {
            Tensor value = own[i].second;
            value.copy_from(fresh[i].second);
        }
    }
};

}  // namespace

Method eu_k() {
    return {.name = "eu-k",
            .formula = "min CE(f(x_r), y_r) in the last k layers, from new random values",
            .data = "D_f + D_r",
            .source = "Goel et al., \"Towards Adversarial Evaluations for Inexact Machine Unlearning\", 2022",
            .until = Until::budget,
            .make = make_step<EuKStep>};
}

}  // namespace lethe::method
