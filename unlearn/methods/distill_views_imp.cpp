// Self-distillation of changed copies with the importance penalty on top.
#include "unlearn/method.h"

namespace lethe::method {

Method distill_views_imp() {
    return {
        .name = "distill+views+imp",
        .formula =
            "min log(p_y / (1 - p_y)) over D_f and its views still recognised + w T^2 KL_T(f_theta0(x) || f(x)) over "
            "proxies + lambda/2 sum((1 - Omega) (theta - theta0)^2)",
        .data = "D_f",
        .source = "Lethe; distillation after Hinton et al., 2015, importance after L2UL",
        .objective = Objective::misclassify,
        .importance = true,
        .distillation = true,
        .views = true};
}

}  // namespace lethe::method
