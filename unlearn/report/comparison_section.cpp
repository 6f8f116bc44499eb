// The methods of all runs beside each other, as a table and as a picture.
#include <algorithm>
#include <cmath>

#include "tensor/error.h"
#include "unlearn/report/charts.h"
#include "unlearn/report/sections.h"

namespace lethe::report {
namespace {

std::string lost_points(const MethodResult& result, const MethodResult& before) {
    return fixed(before.test.accuracy.percent() - result.test.accuracy.percent(), 2);
}

std::string copies_html(double reemergence) {
    return fixed(reemergence, 1) + (std::isnan(reemergence) ? "" : "\u00A0%");
}

bool all_correct(const std::vector<RunRecord>& runs) {
    return std::all_of(runs.begin(), runs.end(), [](const RunRecord& run) { return run.corrects(); });
}

std::string results_table(const std::vector<RunRecord>& runs) {
    Table table(
        all_correct(runs)
            ? "What is recognised: of the images to be corrected (D_f), of training images (D_r) and of other test "
              "images (D_test) high is good. Copies are mirrored, shifted, noisy and otherwise changed ones that are "
              "given the true label. Points lost are of D_test."
            : "What is still recognised: of the images to be forgotten (D_f) low is the goal, of other training images "
              "(D_r) and of test images (D_test) high is good. Copies are mirrored, shifted, noisy and otherwise "
              "changed ones that are given the true label: re-emergence, low is good. Points lost are of D_test.",
        {{"method", false},
         {"verdict", false},
         {"D_f"},
         {"copies of D_f"},
         {"D_r"},
         {"D_test"},
         {"points lost"},
         {"steps"},
         {"seconds"}});
    for (const RunRecord& run : runs) {
        if (runs.size() > 1) table.group(run.name);
        const auto shares = [](const MethodResult& result) {
            return std::vector<std::string>{share_html(result.forget.accuracy), copies_html(result.reemergence),
                                            share_html(result.retain.accuracy), share_html(result.test.accuracy)};
        };
        std::vector<std::string> cells{""};
        for (const std::string& cell : shares(run.before)) cells.push_back(cell);
        cells.insert(cells.end(), {"", "", ""});
        table.row("before", cells);
        for (const MethodRecord& method : run.methods) {
            cells = {verdict_html(method.result.verdict)};
            for (const std::string& cell : shares(method.result)) cells.push_back(cell);
            cells.insert(cells.end(), {lost_points(method.result, run.before), grouped(method.result.steps),
                                       fixed(method.result.seconds, 1)});
            table.row(escaped(method.result.method), cells);
        }
    }
    return table.html();
}

DotRow dots_of(const std::string& name, const MethodResult& result) {
    return {name,
            "D_test " + percent(result.test.accuracy),
            {{result.retain.accuracy.percent(), retain_mark()},
             {result.test.accuracy.percent(), test_mark()},
             {result.forget.accuracy.percent(), forget_mark()}}};
}

std::string results_chart(const std::vector<RunRecord>& runs, const RunRecord& run) {
    DotChart chart{.alternative = concat("Per cent still recognised", of_run(runs, run), "."),
                   .x_label = "still recognised, per cent",
                   .rows = {dots_of("before", run.before)},
                   .x = {0, 100}};
    for (const MethodRecord& method : run.methods) chart.rows.push_back(dots_of(method.result.method, method.result));
    for (const DotRow& row : chart.rows)
        chart.alternative += concat(" ", row.name, ": D_f ", fixed(row.dots[2].first, 1), ", D_r ",
                                    fixed(row.dots[0].first, 1), ", D_test ", fixed(row.dots[1].first, 1), ".");
    const char* goal =
        run.corrects() ? "D_f, to be corrected: right is the goal" : "D_f, to be forgotten: left is the goal";
    return figure(draw(chart) + legend({{goal, forget_mark(), false},
                                        {"D_r, other training images: right is good", retain_mark(), false},
                                        {"D_test, test images: right is good", test_mark(), false}}),
                  escaped("Still recognised" + of_run(runs, run)));
}

}  // namespace

std::string comparison(const std::vector<RunRecord>& runs, Marks& marks) {
    if (runs.empty()) return "";
    std::string charts = frontier(runs, marks);
    for (const RunRecord& run : runs) charts += results_chart(runs, run);
    return element("div", "\n" + results_table(runs) + element("div", "\n" + charts, {{"class", "grid"}}),
                   {{"class", "beside"}}) +
           "\n";
}

}  // namespace lethe::report
