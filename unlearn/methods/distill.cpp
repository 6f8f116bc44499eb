// Forget D_f with the least change: only the images still recognised are pushed, and the network is held to what it
// said before on proxies made of D_f and their adversarial images (unlearning as self-distillation).
#include "unlearn/method.h"

namespace lethe::method {

Method distill() {
    return {
        .name = "distill",
        .formula = "min log(p_y / (1 - p_y)) over D_f still recognised + w T^2 KL_T(f_theta0(x) || f(x)) over proxies",
        .data = "D_f",
        .source = "Lethe (docs/decisions/009-self-distillation.md); distillation after Hinton et al., 2015",
        .objective = Objective::misclassify,
        .distillation = true};
}

}  // namespace lethe::method
