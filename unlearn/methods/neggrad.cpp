// Negated gradient: ascend the cross entropy of what is to be forgotten. Nothing holds the rest of the model in place,
// so it is the baseline that the other methods must beat.
#include "unlearn/method.h"

namespace lethe::method {

Method neggrad() {
    return {.name = "neggrad",
            .formula = "min -CE(f(x), y) over D_f",
            .data = "D_f",
            .source = "Golatkar et al., \"Eternal Sunshine of the Spotless Net\", CVPR 2020; arm 1 of L2UL",
            .objective = Objective::misclassify,
            .adversarial = false,
            .importance = false};
}

}  // namespace lethe::method
