// The results of an experiment: means over seeds, and methods compared on the same images.
#include <algorithm>

#include "tensor/error.h"
#include "unlearn/report/charts.h"
#include "unlearn/report/sections.h"

namespace lethe::report {
namespace {

// Rows of one chart: all k of a model, a dataset and a switch set.
std::string family_of(const Setting& setting) {
    return setting.model + " on " + setting.data + (setting.switches.empty() ? "" : ", " + setting.switches);
}

std::string title_of(const Setting& setting) { return concat(family_of(setting), ", k = ", setting.k); }

template <class Row>
std::vector<std::string> distinct(const std::vector<Row>& rows, std::string (*key)(const Setting&)) {
    std::vector<std::string> found;
    for (const Row& row : rows)
        if (std::find(found.begin(), found.end(), key(row.setting)) == found.end()) found.push_back(key(row.setting));
    return found;
}

std::string interval_text(const Interval& interval, int digits) {
    return concat(fixed(interval.low, digits), " to ", fixed(interval.high, digits));
}

std::string estimate_html(const ExperimentRow& row, const std::string& quantity) {
    const Estimate& estimate = row.estimates.at(quantity);
    const int digits = quantity == "steps" ? 1 : 2;
    return fixed(estimate.mean, digits) +
           (estimate.interval ? element("small", interval_text(*estimate.interval, digits)) : "");
}

std::string means_table(const ExperimentRecord& record, const std::string& title) {
    Table table(
        concat(title, ": means over forget sets, below each its ", fixed(100 * record.confidence, 0),
               " % interval where there is one; accuracies in per cent. Copies: mirrored, shifted, noisy and other "
               "changed copies of D_f that are given their true label (re-emergence)"),
        {{"method", false},
         {"forgotten"},
         {"D_f"},
         {"copies"},
         {"D_r"},
         {"D_test"},
         {"points lost"},
         {"steps"},
         {"seconds"}});
    for (const ExperimentRow& row : record.rows) {
        if (title_of(row.setting) != title) continue;
        const bool before = row.method == "before";
        std::vector<std::string> cells{before
                                           ? ""
                                           : concat(row.forgotten, " of ", row.runs,
                                                    row.diverged > 0 ? concat(", ", row.diverged, " diverged") : "")};
        for (const char* quantity : {"D_f", "reemergence", "D_r", "D_test"})
            cells.push_back(estimate_html(row, quantity));
        for (const char* quantity : {"drop", "steps", "seconds"})
            cells.push_back(before ? "" : estimate_html(row, quantity));
        table.row(escaped(row.method), cells);
    }
    return table.html();
}

std::string comparisons_table(const ExperimentRecord& record, const std::string& title) {
    Table table(
        concat(title,
               ": the first method minus the second, in points of accuracy, on the same forget sets; p of the "
               "paired t test, not corrected for their number"),
        {{"methods", false}, {"set", false}, {"difference"}, {"p"}, {"only first right"}, {"only second right"}});
    bool any = false;
    for (const ExperimentComparison& comparison : record.comparisons) {
        if (title_of(comparison.setting) != title) continue;
        any = true;
        const Estimate& difference = comparison.difference;
        table.row(
            escaped(comparison.first + " \u2212 " + comparison.second),
            {escaped(comparison.set),
             fixed(difference.mean, 2) +
                 (difference.interval ? element("small", interval_text(*difference.interval, 2)) : ""),
             comparison.p ? escaped(p_value(*comparison.p)) : "\u2013" + element("small", escaped(difference.note)),
             grouped(comparison.only_first), grouped(comparison.only_second)});
    }
    return any ? details("Methods compared, " + escaped(title), table.html()) : "";
}

// D_test or D_r against k.
std::string accuracy_chart(const ExperimentRecord& record, const std::string& family, const std::string& set,
                           Marks& marks) {
    CurveChart chart{
        .alternative = concat("Accuracy on ", set, " against k, the number of images to forget; ", family, "."),
        .x_label = "k, images to forget (logarithmic)",
        .y_label = set + ", per cent",
        .curves = {},
        .log_x = true,
        .mark_all = true,
        .beside = 5};
    std::vector<LegendEntry> entries;
    for (const ExperimentRow& row : record.rows) {
        if (family_of(row.setting) != family) continue;
        const Estimate& accuracy = row.estimates.at(set);
        const auto k = static_cast<double>(row.setting.k);
        if (std::find(chart.x_ticks.begin(), chart.x_ticks.end(), k) == chart.x_ticks.end()) chart.x_ticks.push_back(k);
        if (row.method == "before") {
            chart.reference = accuracy.mean;
            continue;
        }
        auto curve = std::find_if(chart.curves.begin(), chart.curves.end(),
                                  [&](const Curve& known) { return known.name == row.method; });
        if (curve == chart.curves.end()) curve = chart.curves.insert(curve, {row.method, marks.of(row.method), {}});
        std::optional<Interval> bar = accuracy.interval;  // an accuracy is no less than 0 and no more than 100
        if (bar) bar = Interval{std::max(0.0, bar->low), std::min(100.0, bar->high)};
        curve->points.push_back({k, accuracy.mean, bar});
        chart.alternative += concat(" ", row.method, " at k = ", row.setting.k, ": ", fixed(accuracy.mean, 1), ".");
    }
    if (chart.reference) entries.push_back({"before", before_mark(), true, fixed(*chart.reference, 1) + "\u00A0%"});
    for (const Curve& curve : chart.curves) entries.push_back({curve.name, curve.mark});
    return figure(
        draw(chart) + legend(entries),
        escaped(concat(set, " after forgetting k images: ", family)) +
            element("small", escaped(concat("bars: ", fixed(100 * record.confidence, 0),
                                            " % interval of the mean, where there is one, cut at 0 and 100 %"))));
}

}  // namespace

std::string experiment(const ExperimentRecord& record, Marks& marks) {
    const auto finished = record.cells - static_cast<int64_t>(record.missing.size());
    std::string html = element("p", concat(grouped(finished), " of ", grouped(record.cells), " runs are finished; ",
                                           element("code", escaped(record.folder)), ".")) +
                       "\n";
    std::string charts;
    for (const std::string& family : distinct(record.rows, family_of)) {
        charts += accuracy_chart(record, family, "D_test", marks);
        charts += accuracy_chart(record, family, "D_r", marks);
    }
    html += element("div", "\n" + charts, {{"class", "grid"}}) + "\n";
    for (const std::string& title : distinct(record.rows, title_of))
        html += heading(3, title) + means_table(record, title) + comparisons_table(record, title);
    std::vector<std::string> notes_html;
    for (const std::string& warning : record.warnings) notes_html.push_back(escaped(warning));
    if (!notes_html.empty())
        html += details("Warnings: " + grouped(static_cast<int64_t>(notes_html.size())), list(notes_html));
    notes_html.clear();
    for (const std::string& missing : record.missing) notes_html.push_back(element("code", escaped(missing)));
    if (!notes_html.empty())
        html += details("Runs that are missing: " + grouped(static_cast<int64_t>(notes_html.size())), list(notes_html));
    return html;
}

}  // namespace lethe::report
