// Learning-rate schedules: what the learning rate of a step is follows from the step's number alone.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "nn/optim.h"

namespace lethe {

struct ScheduleSpec {
    // With n steps, w of them warm-up, and p = (s - w) / (n - w) for step s >= w, counted from 0:
    //   "constant"       lr
    //   "linear"         lr (1 - p)
    //   "cosine"         lr/2 (1 + cos(pi p)), Loshchilov and Hutter 2017 without restarts
    //   "cosine-epoch"   lr/2 (1 + cos(pi e / T)) in epoch e, counted from 0: PyTorch's CosineAnnealingLR(T) stepped
    //                    once per epoch
    //   "onecycle"       Smith and Topin 2019 as PyTorch's OneCycleLR stepped per step: lr is the highest rate; it
    //   rises
    //                    from lr / div to lr over the first pct_start of the steps and falls to lr / div / final_div,
    //                    both along a half-cosine, while sgd's momentum or Adam's beta1 goes from max_momentum to
    //                    base_momentum and back
    std::string name = "cosine";
    int64_t warmup_steps = 0;  // step s < w of these has lr (s + 1) / w; not with onecycle, which has its own
    int64_t t_max = 0;         // T; 0 = the number of epochs
    double pct_start = 0.3, div = 25, final_div = 1e4;
    double base_momentum = 0.85, max_momentum = 0.95;

    void validate() const;  // throws Error naming the option and its range
};

// What a step is made with. `momentum` is sgd's momentum or Adam's beta1.
struct Rate {
    double lr = 0, momentum = 0;
};

class Schedule {
public:
    // lr and the momentum come from `optimizer`. Throws Error as validate() does.
    Schedule(const ScheduleSpec& spec, const OptimizerSpec& optimizer, int64_t epochs, int64_t steps_per_epoch);
    Rate at(int64_t step) const;  // step counts from 0

private:
    double progress(int64_t step) const;  // 0 at the end of the warm-up, 1 at the end
    Rate one_cycle(int64_t step) const;

    ScheduleSpec spec_;
    double lr_, momentum_;
    int64_t epochs_, steps_per_epoch_;
};

const std::vector<std::string>& schedule_names();

}  // namespace lethe
