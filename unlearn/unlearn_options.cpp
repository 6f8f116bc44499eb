#include <cmath>

#include "tensor/error.h"
#include "unlearn/unlearn.h"

namespace lethe {

void UnlearnOptions::validate() const {
    optimizer.validate();
    distill.validate();
    compare.validate();
    check(forget_batch >= 1, "unlearn: forget_batch is ", forget_batch, "; it must be >= 1");
    check(adversarial_batch >= 1, "unlearn: adversarial_batch is ", adversarial_batch, "; it must be >= 1");
    check(std::isfinite(lambda) && lambda >= 0, "unlearn: lambda is ", lambda, "; it must be a finite number >= 0");
    check(std::isfinite(forget_weight) && forget_weight >= 0, "unlearn: forget_weight is ", forget_weight,
          "; it must be a finite number >= 0");
    check(std::isfinite(adversarial_weight) && adversarial_weight >= 0, "unlearn: adversarial_weight is ",
          adversarial_weight, "; it must be a finite number >= 0");
    check(stop.in_a_row >= 1, "unlearn: in_a_row is ", stop.in_a_row, "; it must be >= 1");
    check(std::isfinite(stop.margin) && stop.margin >= 0, "unlearn: margin is ", stop.margin,
          "; it must be a finite number >= 0");
    check(stop.views >= 0 && stop.views <= 1, "unlearn: the share of views is ", stop.views,
          "; it must lie between 0 and 1");
    check(stop.max_steps >= 1, "unlearn: max_steps is ", stop.max_steps, "; it must be >= 1");
    check(std::isfinite(stop.max_seconds) && stop.max_seconds >= 0, "unlearn: max_seconds is ", stop.max_seconds,
          "; it must be a finite number >= 0");
}

UnlearnOptions protocol_options(const std::string& name) {
    UnlearnOptions options;
    options.switches = protocol(name);
    if (name != "recommended") return options;
    options.optimizer = {.name = "adam", .lr = 2e-4f, .weight_decay = 0.0f};
    options.forget_weight = 0.05f;
    options.lambda = 0.01f;
    return options;
}

}  // namespace lethe
