// What `lethe measure` found.
#include <algorithm>

#include "tensor/error.h"
#include "unlearn/metrics/metric.h"
#include "unlearn/report/sections.h"

namespace lethe::report {
namespace {

std::string reading_html(const MeasuredArm& arm, const std::string& metric) {
    if (arm.diverged) return "diverged";
    const auto found = arm.readings.find(metric);
    if (found == arm.readings.end()) return "\u2013";
    std::string html = escaped(found->second.value);
    for (const std::string& note : found->second.notes) html += element("small", escaped(note));
    return html;
}

std::string metrics_table(const std::vector<RunRecord>& runs, const RunRecord& run) {
    std::vector<Column> columns{{"metric, and which way is good", false}};
    for (const MeasuredArm& arm : run.arms) columns.push_back({arm.name});
    Table table("What lethe measure found" + of_run(runs, run) + "; below a number, what to compare it with" + "",
                columns);
    for (const Metric& metric : metrics()) {
        const bool found = std::any_of(run.arms.begin(), run.arms.end(),
                                       [&](const MeasuredArm& arm) { return arm.readings.contains(metric.name); });
        if (!found) continue;
        std::vector<std::string> cells;
        for (const MeasuredArm& arm : run.arms) cells.push_back(reading_html(arm, metric.name));
        table.row(escaped(metric.name) + element("small", escaped("good: " + metric.direction)), cells);
    }
    return table.html();
}

// For the metrics that some run has.
std::string glossary(const std::vector<RunRecord>& runs) {
    std::vector<std::pair<std::string, std::string>> rows;
    for (const Metric& metric : metrics())
        for (const RunRecord& run : runs)
            if (!run.arms.empty() && (rows.empty() || rows.back().first != metric.name) &&
                run.arms.front().readings.contains(metric.name))
                rows.emplace_back(
                    metric.name,
                    escaped(concat(metric.formula, ". A model that tells nothing, or has forgotten everything: ",
                                   metric.chance, ". Source: ", metric.source, ".")));
    return details("What each metric is", facts("The metrics of this page", rows));
}

}  // namespace

std::string measured(const std::vector<RunRecord>& runs) {
    if (runs.empty()) return "";
    std::string html, without;
    for (const RunRecord& run : runs) {
        if (run.arms.empty())
            without += (without.empty() ? "" : ", ") + run.name;
        else
            html += metrics_table(runs, run);
    }
    if (!html.empty()) html += glossary(runs);
    if (!without.empty())
        html += element("p", "Not measured, for want of <code>metrics.json</code>: " + escaped(without) +
                                 ". <code>lethe measure RUN</code> writes it, and this page shows it the next time.") +
                "\n";
    return html;
}

}  // namespace lethe::report
