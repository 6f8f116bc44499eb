#include "tools/attack_options.h"

#include <utility>
#include <vector>

#include "tensor/error.h"

namespace lethe::tools {
namespace {

template <class Value>
Value choose(const std::string& option, const std::string& text,
             const std::vector<std::pair<std::string, Value>>& known) {
    std::string names;
    for (const auto& [name, value] : known) {
        if (name == text) return value;
        names += (names.empty() ? "" : ", ") + name;
    }
    fail("attack: --", option, " is '", text, "', it must be one of: ", names);
}

}  // namespace

PgdOptions AttackOptions::resolved(uint64_t seed) const {
    using Norm = PgdStep::Norm;
    using Order = PgdStep::Order;
    using Init = PgdOptions::Init;
    PgdOptions options;
    options.step.norm = choose<Norm>("norm", norm, {{"l2", Norm::l2}, {"linf", Norm::linf}});
    options.step.order = choose<Order>(
        "order", order, {{"box-then-ball", Order::box_then_ball}, {"ball-then-box", Order::ball_then_box}});
    options.init = choose<Init>("init", init,
                                {{"uniform-box", Init::uniform_box}, {"in-ball", Init::in_ball}, {"none", Init::none}});
    options.step.eps = eps;
    options.step.step = step;
    options.steps = steps;
    options.seed = seed;
    options.validate();
    return options;
}

}  // namespace lethe::tools
