#include "nn/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "tensor/error.h"

namespace lethe {
namespace {

// From `from` to `to` along a half-cosine, for a share in [0, 1].
double anneal(double from, double to, double share) {
    return to + (from - to) / 2 * (1 + std::cos(std::numbers::pi * share));
}

}  // namespace

const std::vector<std::string>& schedule_names() {
    static const std::vector<std::string> names{"constant", "linear", "cosine", "cosine-epoch", "onecycle"};
    return names;
}

void ScheduleSpec::validate() const {
    const auto& known = schedule_names();
    if (std::find(known.begin(), known.end(), name) == known.end())
        fail("schedule: unknown name '", name, "'; known ones are constant, linear, cosine, cosine-epoch and onecycle");
    check(warmup_steps >= 0, "schedule: warmup_steps is ", warmup_steps, "; it must be >= 0");
    check(warmup_steps == 0 || name != "onecycle", "schedule: onecycle warms up by itself; warmup_steps must be 0");
    check(t_max >= 0, "schedule: t_max is ", t_max, "; it must be >= 0");
    check(t_max == 0 || name == "cosine-epoch", "schedule: t_max belongs to cosine-epoch, not to ", name);
    check(pct_start > 0 && pct_start < 1, "schedule: pct_start is ", pct_start, "; it must be in (0, 1)");
    check(div >= 1 && std::isfinite(div), "schedule: div is ", div, "; it must be a finite number >= 1");
    check(final_div >= 1 && std::isfinite(final_div), "schedule: final_div is ", final_div,
          "; it must be a finite number >= 1");
    check(base_momentum >= 0 && base_momentum <= max_momentum && max_momentum < 1, "schedule: base_momentum is ",
          base_momentum, " and max_momentum ", max_momentum,
          "; they must be in [0, 1), the first not above the second");
}

Schedule::Schedule(const ScheduleSpec& spec, const OptimizerSpec& optimizer, int64_t epochs, int64_t steps_per_epoch)
    : spec_(spec),
      lr_(static_cast<double>(optimizer.lr)),
      momentum_(static_cast<double>(optimizer.name == "sgd" ? optimizer.momentum : optimizer.beta1)),
      epochs_(epochs),
      steps_per_epoch_(steps_per_epoch) {
    spec_.validate();
}

double Schedule::progress(int64_t step) const {
    return static_cast<double>(step - spec_.warmup_steps) /
           static_cast<double>(epochs_ * steps_per_epoch_ - spec_.warmup_steps);
}

// PyTorch's phases end at steps pct_start * n - 1 and n - 1. Momentum is cycled where there is one.
Rate Schedule::one_cycle(int64_t step) const {
    const auto total = static_cast<double>(epochs_ * steps_per_epoch_), now = static_cast<double>(step);
    const double peak = spec_.pct_start * total - 1, start = lr_ / spec_.div;
    const double low = spec_.base_momentum, high = spec_.max_momentum;
    const bool cycled = momentum_ > 0;
    if (now <= peak) {
        const double share = peak > 0 ? now / peak : 1;
        return {anneal(start, lr_, share), cycled ? anneal(high, low, share) : momentum_};
    }
    const double share = (now - peak) / (total - 1 - peak);
    return {anneal(lr_, start / spec_.final_div, share), cycled ? anneal(low, high, share) : momentum_};
}

Rate Schedule::at(int64_t step) const {
    if (spec_.name == "onecycle") return one_cycle(step);
    if (step < spec_.warmup_steps)
        return {lr_ * static_cast<double>(step + 1) / static_cast<double>(spec_.warmup_steps), momentum_};
    if (spec_.name == "linear") return {lr_ * (1 - progress(step)), momentum_};
    if (spec_.name == "cosine") return {anneal(lr_, 0, progress(step)), momentum_};
    if (spec_.name == "constant") return {lr_, momentum_};
    const int64_t period = spec_.t_max > 0 ? spec_.t_max : epochs_;
    return {anneal(lr_, 0, static_cast<double>(step / steps_per_epoch_) / static_cast<double>(period)), momentum_};
}

}  // namespace lethe
