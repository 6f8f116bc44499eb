// Targeted adversarial images x' of D_f stand in for the retained data nobody has: they lie near decision boundaries
// that forgetting x would otherwise move.
#include "unlearn/method.h"

namespace lethe::method {

Method adv() {
    return {.name = "adv",
            .formula = "min -w_f CE(f(x), y) + w_a CE(f(x'), t), x' = targeted PGD of x towards t != y",
            .data = "D_f",
            .source = "Cha et al., \"Learning to Unlearn\" (L2UL), AAAI 2024",
            .objective = Objective::misclassify,
            .adversarial = true,
            .importance = false};
}

}  // namespace lethe::method
