// The full method of L2UL: adversarial images and the importance penalty together.
#include "unlearn/method.h"

namespace lethe::method {

Method adv_imp() {
    return {.name = "adv+imp",
            .formula = "min -w_f CE(f(x), y) + w_a CE(f(x'), t) + lambda/2 sum((1 - Omega) (theta - theta0)^2)",
            .data = "D_f",
            .source = "Cha et al., \"Learning to Unlearn\" (L2UL), AAAI 2024",
            .objective = Objective::misclassify,
            .adversarial = true,
            .importance = true};
}

}  // namespace lethe::method
