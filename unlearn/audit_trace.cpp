#include "unlearn/audit_trace.h"

#include <algorithm>
#include <limits>

#include "tensor/error.h"
#include "unlearn/audit_compare.h"
#include "unlearn/image_set.h"

namespace lethe {
namespace {

// The recognised images are a set of D_f and, unless new labels are what is counted, as many as the line counts.
bool has_set(const StepTrace& step, const TraceContext& context) {
    try {
        const std::vector<bool> set =
            members_of(step.recognised, static_cast<std::size_t>(context.goal.accuracy.total));
        return context.relabels || std::count(set.begin(), set.end(), true) == step.forget_correct;
    } catch (const Error&) {
        return false;
    }
}

// Lines count steps from 1; sets of images and clocks only do what they can.
bool is_whole(const std::vector<StepTrace>& trace, const TraceContext& context, std::vector<std::string>& findings) {
    double seconds = 0;
    for (std::size_t i = 0; i < trace.size(); ++i) {
        const StepTrace& step = trace[i];
        const std::string line = concat(context.file, ": line ", i + 1);
        if (step.step != static_cast<int64_t>(i) + 1)
            findings.push_back(concat(line, " is step ", step.step, "; step ", i + 1, " is missing"));
        else if (step.forget_correct < 0 || step.forget_correct > context.goal.accuracy.total)
            findings.push_back(concat(line, " counts ", step.forget_correct, " of ", context.goal.accuracy.total));
        else if (!has_set(step, context))
            findings.push_back(concat(line, ": its set of recognised images is not one of ", step.forget_correct,
                                      " of ", context.goal.accuracy.total));
        else if (!(step.seconds >= seconds))
            findings.push_back(concat(line, ": its seconds are fewer than those of the line before"));
        if (!findings.empty()) return false;
        seconds = step.seconds;
    }
    return true;
}

int64_t in_a_row_after(const StepTrace& step, const TraceContext& context, int64_t before) {
    Evaluation evaluation;
    evaluation.accuracy = {step.forget_correct, context.goal.accuracy.total};
    evaluation.max_margin = step.max_margin;
    // A trace does not hold it: of relabelling with a margin, only the counts are known.
    evaluation.min_margin = std::numeric_limits<double>::infinity();
    return goal_in_a_row(context.options, context.relabels, evaluation, {step.views_correct, step.views}, before);
}

void check_last(const StepTrace& last, const TraceContext& context, std::vector<std::string>& findings) {
    const auto numbers = [](int64_t correct, double mean, double largest, const std::string& recognised) {
        return Json{
            {"forget_correct", correct}, {"mean_margin", mean}, {"max_margin", largest}, {"recognised", recognised}};
    };
    const Evaluation& goal = context.goal;
    compare_json(numbers(last.forget_correct, last.mean_margin, last.max_margin, last.recognised),
                 numbers(goal.accuracy.correct, goal.mean_margin, goal.max_margin, context.recognised),
                 context.file + ": last line", context.tolerance, findings);
}

// What the rule says after each step; nothing before the last.
std::optional<Ending> apply_rule(const std::vector<StepTrace>& trace, const TraceContext& context, int64_t& in_a_row,
                                 std::vector<std::string>& findings) {
    in_a_row = 0;
    for (std::size_t i = 0; i < trace.size(); ++i) {
        in_a_row = in_a_row_after(trace[i], context, in_a_row);
        const bool last = i + 1 == trace.size();
        const std::optional<Ending> end =
            ending(context.options, {.step = trace[i].step,
                                     .goal_in_a_row = in_a_row,
                                     .correct = trace[i].forget_correct,
                                     .images = context.goal.accuracy.total,
                                     .relabels = context.relabels,
                                     .fixed_steps = context.fixed_steps,
                                     .in_a_row = context.in_a_row,
                                     .settles = trace[i].views > 0,
                                     .seconds = last ? context.claim.seconds : trace[i].seconds});
        if (last) return end;
        if (end) {
            findings.push_back(concat(context.file, ": by the stop rule step ", i + 1, " was the last (", end->reason,
                                      "), the trace goes on"));
            return end;
        }
    }
    return std::nullopt;
}

}  // namespace

Ending ending_of_trace(const std::vector<StepTrace>& trace, const TraceContext& context, int64_t& in_a_row,
                       std::vector<std::string>& findings) {
    const Ending claimed{context.claim.verdict, context.claim.reason};
    in_a_row = 0;
    if (!is_whole(trace, context, findings)) return claimed;
    const auto steps = static_cast<int64_t>(trace.size());
    // The step that made a weight or logit infinite counts and has no line.
    const bool untraced_step = context.diverged && !context.goal.finite && context.claim.steps == steps + 1;
    if (context.claim.steps != steps && !untraced_step)
        findings.push_back(concat(context.file, " has ", steps, " steps, the result claims ", context.claim.steps));
    const std::optional<Ending> end = apply_rule(trace, context, in_a_row, findings);
    if (steps > 0 && !untraced_step) check_last(trace.back(), context, findings);
    if (steps > 0 && context.claim.seconds < trace.back().seconds)
        findings.push_back(context.file + ": its last line is later than the seconds that the result claims");
    if (end && end->verdict == Verdict::forgotten && !goal_met(context.options, context.relabels, context.goal))
        findings.push_back(context.file + " says that the goal was met, the saved weights do not meet it");
    if (end) return *end;
    if (context.claim.verdict != Verdict::diverged)
        findings.push_back(concat(context.file, " ends at step ", steps, ", where no stop rule ends a run"));
    const std::string infinite_loss = concat("a loss was no finite number at step ", steps + 1);
    return context.diverged ? claimed : Ending{Verdict::diverged, infinite_loss};
}

}  // namespace lethe
