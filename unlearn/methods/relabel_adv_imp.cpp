// Relabelling with adversarial images and the importance penalty.
#include "unlearn/method.h"

namespace lethe::method {

Method relabel_adv_imp() {
    return {.name = "relabel+adv+imp",
            .formula = "min w_f CE(f(x), y*) + w_a CE(f(x'), t) + lambda/2 sum((1 - Omega) (theta - theta0)^2)",
            .data = "D_f",
            .source = "the relabelling objective of L2UL, AAAI 2024",
            .objective = Objective::relabel,
            .adversarial = true,
            .importance = true};
}

}  // namespace lethe::method
