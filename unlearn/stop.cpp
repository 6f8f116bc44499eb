#include "unlearn/stop.h"

#include <algorithm>

#include "tensor/error.h"

namespace lethe {

bool goal_met(const UnlearnOptions& options, bool relabels, const Evaluation& evaluation, const Accuracy& views) {
    const double margin = options.switches.stop_on_first_zero ? 0 : options.stop.margin;
    const double most = options.switches.stop_on_first_zero ? 1 : options.stop.views;
    if (static_cast<double>(views.correct) > most * static_cast<double>(views.total)) return false;
    const Accuracy& accuracy = evaluation.accuracy;
    if (relabels) return accuracy.correct == accuracy.total && (margin <= 0 || evaluation.min_margin >= margin);
    return accuracy.correct == 0 && (margin <= 0 || evaluation.max_margin <= -margin);
}

int64_t goal_in_a_row(const UnlearnOptions& options, bool relabels, const Evaluation& evaluation, const Accuracy& views,
                      int64_t before) {
    const bool settling = views.total > 0 && before > 0;
    if (goal_met(options, relabels, evaluation, settling ? Accuracy() : views)) return before + 1;
    return settling ? before : 0;
}

int64_t fixed_steps(const Method& method, const UnlearnOptions& options) {
    switch (method.until) {
        case Until::goal:
            return 0;
        case Until::budget:
            return std::min(options.compare.fixed_steps, options.stop.max_steps);
        case Until::one_step:
            return 1;
    }
    return 0;
}

int64_t needed_in_a_row(const Method& method, const UnlearnOptions& options) {
    if (options.switches.stop_on_first_zero) return 1;
    return method.views ? std::max(options.stop.in_a_row, options.distill.settle) : options.stop.in_a_row;
}

std::string text_of(const Standing& standing) {
    return concat(standing.correct, " of ", standing.images, " images given their ", standing.relabels ? "new" : "true",
                  " label");
}

std::optional<Ending> ending(const UnlearnOptions& options, const Standing& standing) {
    const StopRule& stop = options.stop;
    if (standing.fixed_steps > 0 && standing.step >= standing.fixed_steps)
        return Ending{standing.goal_in_a_row > 0 ? Verdict::forgotten : Verdict::not_forgotten,
                      concat("the method's ", standing.fixed_steps, standing.fixed_steps == 1 ? " step" : " steps",
                             " ended with ", text_of(standing))};
    if (standing.fixed_steps == 0 && standing.goal_in_a_row >= standing.in_a_row)
        return Ending{Verdict::forgotten,
                      concat("the goal was met at step ", standing.step,
                             standing.settles && standing.in_a_row > 1
                                 ? concat(", the last of ", standing.in_a_row, " that grew shorter, with ")
                                 : concat(", ", standing.goal_in_a_row, " in a row, with "),
                             text_of(standing))};
    if (standing.step >= stop.max_steps)
        return Ending{Verdict::not_forgotten,
                      concat("the budget of ", stop.max_steps, " steps ended with ", text_of(standing))};
    if (stop.max_seconds > 0 && standing.step > 0 && standing.seconds >= stop.max_seconds)
        return Ending{Verdict::not_forgotten,
                      concat("the budget of ", stop.max_seconds, " s ended after step ", standing.step, " with ",
                             text_of(standing), "; a run ended by time is not reproducible")};
    return std::nullopt;
}

}  // namespace lethe
