// Relabelling with adversarial images in place of retained data.
#include "unlearn/method.h"

namespace lethe::method {

Method relabel_adv() {
    return {.name = "relabel+adv",
            .formula = "min w_f CE(f(x), y*) + w_a CE(f(x'), t), x' = targeted PGD of x towards t != y",
            .data = "D_f",
            .source = "the relabelling objective of L2UL, AAAI 2024",
            .objective = Objective::relabel,
            .adversarial = true,
            .importance = false};
}

}  // namespace lethe::method
