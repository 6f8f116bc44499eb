// What is kept against what comes back.
#include <cmath>
#include <limits>

#include "tensor/error.h"
#include "unlearn/report/sections.h"

namespace lethe::report {
namespace {

Curve& curve_of(CurveChart& chart, const std::string& name, Marks& marks) {
    for (Curve& curve : chart.curves)
        if (curve.name == name) return curve;
    return chart.curves.emplace_back(name, name == "before" ? before_mark() : marks.of(name),
                                     std::vector<CurvePoint>{});
}

}  // namespace

CurveChart frontier_chart(const std::vector<RunRecord>& runs, Marks& marks) {
    CurveChart chart{.alternative = "D_test against re-emergence; above and to the left is good.",
                     .x_label = "changed copies of D_f given their old label, per cent",
                     .y_label = "D_test, per cent",
                     .curves = {},
                     .x = {0, 100},
                     .mark_all = true};
    const auto add = [&](const RunRecord& run, const MethodResult& result) {
        const double share = result.reemergence, kept = result.test.accuracy.percent();
        if (!std::isfinite(share) || result.verdict == Verdict::diverged) return;
        Curve& curve = curve_of(chart, result.method, marks);
        // Runs are no sequence: a gap before each point, so that no line joins them.
        if (!curve.points.empty()) curve.points.push_back({share, std::numeric_limits<double>::quiet_NaN()});
        curve.points.push_back({share, kept});
        chart.alternative +=
            concat(" ", result.method, of_run(runs, run), ": ", fixed(share, 1), ", ", fixed(kept, 1), ".");
    };
    for (const RunRecord& run : runs) {
        if (run.corrects()) continue;  // there copies that are recognised are the goal
        add(run, run.before);
        for (const MethodRecord& method : run.methods) add(run, method.result);
    }
    return chart;
}

std::string frontier(const std::vector<RunRecord>& runs, Marks& marks) {
    const CurveChart chart = frontier_chart(runs, marks);
    if (chart.curves.empty()) return "";
    std::vector<LegendEntry> entries;
    for (const Curve& curve : chart.curves) entries.push_back({curve.name, curve.mark, false});
    return figure(
        draw(chart) + legend(entries),
        "What is kept against what comes back: a point for each method and run. Above and to the left is good");
}

}  // namespace lethe::report
