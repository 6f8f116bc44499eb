// Relabelling under the importance penalty.
#include "unlearn/method.h"

namespace lethe::method {

Method relabel_imp() {
    return {
        .name = "relabel+imp",
        .formula = "min w_f CE(f(x), y*) + lambda/2 sum((1 - Omega) (theta - theta0)^2), Omega = min-max MAS of D_f",
        .data = "D_f",
        .source = "the relabelling objective of L2UL, AAAI 2024",
        .objective = Objective::relabel,
        .adversarial = false,
        .importance = true};
}

}  // namespace lethe::method
