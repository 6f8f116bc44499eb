// When an unlearning run ends: the goal and the stop rule, as the loop applies them and as an auditor applies them to a
// trace.
#pragma once

#include <optional>
#include <string>

#include "unlearn/metrics.h"
#include "unlearn/unlearn.h"

namespace lethe {

// D_f as `evaluation` sees it (of the labels to lose or, with `relabels`, of the ones to gain) meets the goal, and so
// do the step's changed copies of it, where the method makes any (`views`: those still given their true label).
bool goal_met(const UnlearnOptions& options, bool relabels, const Evaluation& evaluation, const Accuracy& views = {});

// How many steps have met the goal after this one, when `before` had until then. Without views: in a row. With views
// the first that meets it begins a phase in which steps grow shorter; an image that is back for a moment is no reason
// to begin that again, so a step that recognises one does not count, and copies no longer matter.
int64_t goal_in_a_row(const UnlearnOptions& options, bool relabels, const Evaluation& evaluation, const Accuracy& views,
                      int64_t before);

// After how many steps a run of the method ends, whether the goal is met or not; 0: the goal ends it.
int64_t fixed_steps(const Method& method, const UnlearnOptions& options);

// After how many steps in a row the goal must have been met; for methods with views how many steps grow shorter.
int64_t needed_in_a_row(const Method& method, const UnlearnOptions& options);

// How a run stands after a step.
struct Standing {
    int64_t step = 0, goal_in_a_row = 0;
    int64_t correct = 0, images = 0;  // of D_f: images given their true (relabels: new) label, and all
    bool relabels = false;
    int64_t fixed_steps = 0;  // as fixed_steps()
    int64_t in_a_row = 1;     // as needed_in_a_row()
    bool settles = false;     // the method has views: goal_in_a_row counts steps that grow shorter
    double seconds = 0;
};
std::string text_of(const Standing& standing);  // "0 of 16 images given their true label"

// The first rule that holds, or nothing: the run goes on.
struct Ending {
    Verdict verdict = Verdict::not_forgotten;
    std::string reason;  // one sentence
};
std::optional<Ending> ending(const UnlearnOptions& options, const Standing& standing);

}  // namespace lethe
