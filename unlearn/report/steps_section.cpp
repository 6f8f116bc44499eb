// The images of D_f step by step.
#include <algorithm>
#include <cmath>

#include "tensor/error.h"
#include "unlearn/image_set.h"
#include "unlearn/report/charts.h"
#include "unlearn/report/sections.h"

namespace lethe::report {
namespace {

// Per cent of D_f given their true label after a step; a relabel method counts them, too.
double recognised_share(const StepTrace& step, std::size_t images) {
    const std::vector<bool> members = members_of(step.recognised, images);
    return 100 * static_cast<double>(std::count(members.begin(), members.end(), true)) / static_cast<double>(images);
}

double last_step(const std::vector<RunRecord>& runs) {
    int64_t last = 1;
    for (const RunRecord& run : runs)
        for (const MethodRecord& method : run.methods)
            if (!method.trace.empty()) last = std::max(last, method.trace.back().step);
    return static_cast<double>(std::max<int64_t>(last, 2));
}

// One of two curves that coincide hides the other.
std::string twin_of(const Curve& curve, const std::vector<Curve>& earlier) {
    const auto same = [](const CurvePoint& a, const CurvePoint& b) { return a.x == b.x && a.y == b.y; };
    for (const Curve& other : earlier)
        if (std::equal(curve.points.begin(), curve.points.end(), other.points.begin(), other.points.end(), same))
            return ", on the curve of " + other.name;
    return "";
}

struct CurveText {
    std::string title, of, y_label, unit;
};

template <class Value>
std::string curves_of(const RunRecord& run, Marks& marks, const CurveText& text, const Range& x, const Range& y,
                      Value value) {
    CurveChart chart{.alternative = text.title + " against steps" + text.of + ".",
                     .x_label = "step (logarithmic)",
                     .y_label = text.y_label,
                     .curves = {},
                     .x = x,
                     .y = y,
                     .log_x = true};
    std::vector<LegendEntry> entries;
    for (const MethodRecord& method : run.methods) {
        if (method.trace.empty()) continue;
        const Mark mark = marks.of(method.result.method);
        Curve curve{method.result.method, mark, {}};
        for (const StepTrace& step : method.trace)
            curve.points.push_back({static_cast<double>(step.step), value(step)});
        const std::string end = concat("ends after ", plural(method.trace.back().step, "step", "steps"), " at ",
                                       fixed(curve.points.back().y, 1), text.unit);
        chart.alternative += concat(" ", curve.name, " ", end, ".");
        entries.push_back({curve.name, mark, true, end + twin_of(curve, chart.curves)});
        chart.curves.push_back(std::move(curve));
    }
    return figure(draw(chart) + legend(entries), escaped(text.title + text.of));
}

}  // namespace

std::string steps(const std::vector<RunRecord>& runs, Marks& marks) {
    std::string recognised, margin, without;
    const Range x{1, last_step(runs)};
    Range y;
    for (const RunRecord& run : runs)
        for (const MethodRecord& method : run.methods)
            for (const StepTrace& step : method.trace)
                if (std::isfinite(step.mean_margin)) y.include(step.mean_margin);
    y.include(0);
    const double step = (widen(y, false), nice_step(y, 5));
    y = {std::floor(y.low / step) * step, std::ceil(y.high / step) * step};
    for (const RunRecord& run : runs) {
        for (const MethodRecord& method : run.methods)
            if (method.trace.empty())
                without += (without.empty() ? "" : ", ") + method.result.method + of_run(runs, run);
        const bool any = std::any_of(run.methods.begin(), run.methods.end(),
                                     [](const MethodRecord& method) { return !method.trace.empty(); });
        if (!any) continue;
        const std::size_t images = run.images.size();
        const std::string of = of_run(runs, run);
        recognised += curves_of(run, marks, {"Images of D_f still recognised", of, "per cent", "\u00A0%"}, x, {0, 100},
                                [&](const StepTrace& at) { return recognised_share(at, images); });
        margin += curves_of(run, marks, {"Mean margin of D_f", of, "logits", ""}, x, y,
                            [](const StepTrace& at) { return at.mean_margin; });
    }
    std::string html;
    if (!recognised.empty())
        html = paragraph(
                   "The margin of an image is its label's logit minus the largest other one: below 0 it is "
                   "recognised no more. For relabel methods the label is the new one.") +
               element("div", "\n" + recognised + margin, {{"class", "grid"}}) + "\n";
    if (!without.empty()) html += paragraph("Without curves, for there is no trace.jsonl: " + without + ".");
    return html;
}

}  // namespace lethe::report
