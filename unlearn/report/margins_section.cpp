// How sure the models are of the images' labels: histograms of D_f's margins, and quantiles beside other sets.
#include <algorithm>

#include "tensor/error.h"
#include "unlearn/report/charts.h"
#include "unlearn/report/sections.h"

namespace lethe::report {
namespace {

std::string recognised_note(const std::vector<double>& margins) {
    const auto above = std::count_if(margins.begin(), margins.end(), [](double margin) { return margin > 0; });
    return concat(above, " of ", margins.size(), " above 0");
}

std::string histogram(const std::vector<RunRecord>& runs, const RunRecord& run, Marks& marks) {
    HistogramChart chart{.alternative = "Margins of the images of D_f" + of_run(runs, run) + ".",
                         .x_label = "margin of the true label, logits",
                         .rows = {}};
    for (const MethodRecord& method : run.methods) {
        if (method.fates.empty()) continue;
        std::vector<double> before, after;
        for (const Fate& fate : method.fates) {
            before.push_back(fate.before.margin);
            after.push_back(fate.after.margin);
        }
        if (chart.rows.empty()) chart.rows.push_back({"before", recognised_note(before), before_mark(), before});
        chart.rows.push_back({method.result.method, recognised_note(after), marks.of(method.result.method), after});
    }
    if (chart.rows.empty()) return "";
    for (const SpreadRow& row : chart.rows) chart.alternative += " " + row.name + ": " + row.note + ".";
    return figure(draw(chart), escaped("D_f's margins, a bar for each group of images" + of_run(runs, run)));
}

std::string boxes(const std::vector<RunRecord>& runs, const RunRecord& run) {
    BoxChart chart{.alternative = "Margins by lethe measure" + of_run(runs, run) + ".",
                   .x_label = "margin of the true label, logits",
                   .rows = {}};
    for (const MeasuredArm& arm : run.arms)
        for (const auto& [set, title, mark] : {std::tuple{"forget", "D_f", forget_mark()},
                                               {"test", "D_test", test_mark()},
                                               {"retain", "D_r", retain_mark()}}) {
            const auto found = arm.margins.find(set);
            if (found == arm.margins.end()) continue;
            const Quantiles& q = found->second;
            const std::string note = "median " + fixed(q.median, 1);
            chart.rows.push_back({arm.name + ": " + title, note, mark, q.q05, q.q25, q.median, q.q75, q.q95});
            chart.alternative += concat(" ", arm.name, ", ", title, ": ", note, ".");
        }
    if (chart.rows.empty()) return "";
    return figure(draw(chart) + legend({{"D_f, like D_test is good", forget_mark(), false},
                                        {"D_test, never seen", test_mark(), false},
                                        {"D_r, trained on", retain_mark(), false}}),
                  escaped("Margins of three sets" + of_run(runs, run)) +
                      element("small", "line: 5 to 95 %, box: the middle half, mark: median"));
}

}  // namespace

std::string margins(const std::vector<RunRecord>& runs, Marks& marks) {
    std::string charts;
    for (const RunRecord& run : runs) charts += histogram(runs, run, marks) + boxes(runs, run);
    if (runs.empty()) return "";
    if (charts.empty())
        return paragraph("Not known: there is neither METHOD/dossier.json nor metrics.json of lethe measure.");
    return paragraph(
               "Right of 0 an image is recognised. Margins far to the left are no sign of thoroughness: compare with "
               "D_test, which the model has never seen.") +
           element("div", "\n" + charts, {{"class", "grid"}}) + "\n";
}

}  // namespace lethe::report
