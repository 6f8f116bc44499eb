// The attack's options, shared by `lethe attack` and `lethe unlearn`.
#pragma once

#include <string>

#include "unlearn/pgd.h"

namespace lethe::tools {

struct AttackOptions {
    std::string norm = "l2", order = "box-then-ball", init = "uniform-box";
    float eps = 4.0f, step = 0.1f;
    int64_t steps = 100;

    template <class Declare>
    void declare(Declare&& option) {
        option("norm", norm, "norm of the attack: l2 or linf");
        option("eps", eps, "radius of the attack in pixel units [0,1]: an L2 length, or the largest change of a pixel");
        option("step", step, "length of one attack step");
        option("steps", steps, "attack steps");
        option("order", order, "projections of each step: box-then-ball or ball-then-box");
        option("init", init, "start of the attack: uniform-box, in-ball or none");
    }

    // Throws Error for an unknown word, naming the known ones.
    PgdOptions resolved(uint64_t seed) const;
};

}  // namespace lethe::tools
