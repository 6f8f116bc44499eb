// Correction instead of forgetting: each image is taught a given other label y*.
#include "unlearn/method.h"

namespace lethe::method {

Method relabel() {
    return {.name = "relabel",
            .formula = "min CE(f(x), y*) over D_f, y* != y given",
            .data = "D_f",
            .source = "the relabelling objective of L2UL, AAAI 2024",
            .objective = Objective::relabel,
            .adversarial = false,
            .importance = false};
}

}  // namespace lethe::method
