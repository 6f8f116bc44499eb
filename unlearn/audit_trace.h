// The audit of METHOD/trace.jsonl: is it whole, and does the verdict follow from it by the stop rule?
#pragma once

#include <string>
#include <vector>

#include "unlearn/run.h"
#include "unlearn/stop.h"

namespace lethe {

// What is known about a method when its trace is looked at.
struct TraceContext {
    std::string file;           // for sentences
    const MethodResult& claim;  // result.json
    const UnlearnOptions& options;
    bool relabels = false;
    int64_t fixed_steps = 0;  // as fixed_steps()
    int64_t in_a_row = 1;     // as needed_in_a_row()
    Evaluation goal;          // of D_f by the saved weights, against the labels whose count is the goal
    std::string recognised;   // images of D_f that the saved weights give their true label, as image_set()
    bool diverged = false;    // the saved weights' logits or retained accuracy say so
    double tolerance = 0;     // as compare_json()
};

// How the run ended by its trace and the stop rule; the claim where the trace cannot tell (a loss that was no finite
// number). `in_a_row`: goal_in_a_row() at its end. Appends what is wrong.
Ending ending_of_trace(const std::vector<StepTrace>& trace, const TraceContext& context, int64_t& in_a_row,
                       std::vector<std::string>& findings);

}  // namespace lethe
