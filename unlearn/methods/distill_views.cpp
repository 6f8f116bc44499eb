// Self-distillation that forgets mirrored, shifted, cropped and noisy copies of D_f as well: without them an image that
// is "forgotten" is recognised as soon as it is mirrored.
#include "unlearn/method.h"

namespace lethe::method {

Method distill_views() {
    return {.name = "distill+views",
            .formula =
                "min log(p_y / (1 - p_y)) over D_f and its views still recognised + w T^2 KL_T(f_theta0(x) || f(x)) "
                "over proxies",
            .data = "D_f",
            .source = "Lethe; distillation after Hinton et al., 2015",
            .objective = Objective::misclassify,
            .distillation = true,
            .views = true};
}

}  // namespace lethe::method
