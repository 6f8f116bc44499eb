// Methods: named compositions of an objective and regularisers.
#pragma once

#include <memory>
#include <string>
#include <vector>

namespace lethe {

class MethodStep;
struct StepContext;

enum class Objective {
    misclassify,  // away from the true label: -CE(f(x), y) with the switch plain-ce, else its log-odds
    relabel,      // +CE(f(x), y*): towards a given other label
};

// What ends a run. goal: D_f is forgotten, as StopRule says. budget: a number of steps
// (ComparisonOptions::fixed_steps), as methods run that were published without a goal; one_step: a single change of the
// weights. Of these two the verdict says whether the goal holds after the last step.
enum class Until { goal, budget, one_step };

// A method is data: the loop in unlearn/unlearn.h reads it. Its steps are the composition that the flags name or, with
// `make`, what its own MethodStep does. One file per method in unlearn/methods/, one line in
// unlearn/methods/registry.cpp; it is then tested, and listed by `lethe methods`.
struct Method {
    std::string name;     // "adv+imp"
    std::string formula;  // one line
    std::string data;     // "D_f" or "D_f + D_r"
    std::string source;
    Objective objective = Objective::misclassify;
    bool adversarial = false;   // + CE(f(x'), t) on targeted adversarial images of D_f
    bool importance = false;    // + lambda / 2 * sum(Omega_bar * (theta - theta0)^2)
    bool distillation = false;  // + w * KL(f_theta0(x) || f_theta(x)) on proxies (unlearn/distillation.h); steps are
                                // then Adam's with frozen BatchNorm
    bool views = false;         // with distillation: changed copies of D_f are to be forgotten, too
    Until until = Until::goal;
    std::unique_ptr<MethodStep> (*make)(const StepContext&) = nullptr;  // in place of the flags above

    bool needs_retained() const { return data.ends_with("D_r"); }
};

const std::vector<Method>& methods();
// Throws Error for an unknown name, naming the known ones.
const Method& find_method(const std::string& name);

}  // namespace lethe
