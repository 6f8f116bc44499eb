// Weights that do not matter for D_f (small Memory Aware Synapses importance) are held near their values; the ones that
// do are free to move. The reference has no such arm; without it, the penalty's own effect cannot be seen.
#include "unlearn/method.h"

namespace lethe::method {

Method imp() {
    return {
        .name = "imp",
        .formula = "min -w_f CE(f(x), y) + lambda/2 sum((1 - Omega) (theta - theta0)^2), Omega = min-max MAS of D_f",
        .data = "D_f",
        .source = "the importance half of L2UL; Aljundi et al., \"Memory Aware Synapses\", ECCV 2018",
        .objective = Objective::misclassify,
        .adversarial = false,
        .importance = true};
}

}  // namespace lethe::method
