// Catastrophic forgetting of the last k layers: they are trained on without D_f.
#include "unlearn/methods/last_layers.h"

namespace lethe::method {

Method cf_k() {
    return {.name = "cf-k",
            .formula = "min CE(f(x_r), y_r) in the last k layers",
            .data = "D_f + D_r",
            .source = "Goel et al., \"Towards Adversarial Evaluations for Inexact Machine Unlearning\", 2022",
            .until = Until::budget,
            .make = make_step<LastLayers>};
}

}  // namespace lethe::method
