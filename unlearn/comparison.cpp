#include "unlearn/comparison.h"

#include <cmath>

#include "tensor/error.h"

namespace lethe {
namespace {

void check_count(const char* option, int64_t value) {
    check(value >= 1, "unlearn: ", option, " is ", value, "; it must be >= 1");
}

void check_weight(const char* option, float value) {
    check(std::isfinite(value) && value >= 0, "unlearn: ", option, " is ", value, "; it must be a finite number >= 0");
}

}  // namespace

void ComparisonOptions::validate() const {
    check_count("fixed_steps", fixed_steps);
    check_count("retain_batch", retain_batch);
    check_count("scrub_rounds", scrub_rounds);
    check_count("scrub_min_steps", scrub_min_steps);
    check_count("last_layers", last_layers);
    check(beta >= 0 && beta <= 1, "unlearn: beta is ", beta, "; it must be in [0, 1]");
    check(salient_share > 0 && salient_share <= 1, "unlearn: salient_share is ", salient_share,
          "; it must be in (0, 1]");
    check(std::isfinite(dampening_alpha) && dampening_alpha > 0, "unlearn: dampening_alpha is ", dampening_alpha,
          "; it must be a finite number > 0");
    check_weight("dampening_lambda", dampening_lambda);
    check_weight("scrub_alpha", scrub_alpha);
    check_weight("scrub_gamma", scrub_gamma);
    check(scrub_alpha + scrub_gamma > 0, "unlearn: scrub_alpha and scrub_gamma are 0; one of them must be more");
    check_weight("boundary_eps", boundary_eps);
    check_weight("noise_alpha", noise_alpha);
}

}  // namespace lethe
