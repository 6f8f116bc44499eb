// Requests to forget, one after the other: what becomes of the earlier ones.
#include "tensor/error.h"
#include "unlearn/report/charts.h"
#include "unlearn/report/sections.h"

namespace lethe::report {
namespace {

std::string triangle(const ContinualRecord& record) {
    std::vector<Column> columns{{"after request", false}};
    for (const RequestRecord& request : record.requests) columns.push_back({"D_f of " + request.name});
    Table table(
        "Images still recognised, of each request's D_f, after each request: low is the goal, from a request's "
        "own row (bold) downwards",
        columns);
    for (const RequestRecord& row : record.requests) {
        std::vector<std::string> cells;
        bool earlier = true;
        for (const RequestRecord& column : record.requests) {
            const bool own = &column == &row;
            if (own)
                cells.push_back(element("strong", share_html(row.forgotten)));
            else
                cells.push_back(earlier ? share_html(row.earlier.at(column.name)) : "");
            earlier = earlier && !own;
        }
        table.row(escaped(row.name), cells);
    }
    return table.html();
}

std::string requests_table(const ContinualRecord& record) {
    Table table("Each request, and what the model recognises after it", {{"request", false},
                                                                         {"verdict", false},
                                                                         {"images"},
                                                                         {"D_r"},
                                                                         {"D_test"},
                                                                         {"steps"},
                                                                         {"seconds"},
                                                                         {"run", false}});
    if (record.test_before)
        table.row("none", {"", "", share_html(*record.retain_before), share_html(*record.test_before), "", "", ""});
    for (const RequestRecord& request : record.requests)
        table.row(escaped(request.name),
                  {verdict_html(request.verdict), grouped(static_cast<int64_t>(request.forget.size())),
                   share_html(request.retain), share_html(request.test), grouped(request.steps),
                   fixed(request.seconds, 1), element("code", escaped(request.run))});
    return table.html();
}

std::string test_chart(const ContinualRecord& record) {
    CurveChart chart{.alternative = "Accuracy on D_test after each request.",
                     .x_label = "requests so far",
                     .y_label = "D_test, per cent",
                     .curves = {{record.method, test_mark(), {}}},
                     .whole_x = true,
                     .mark_all = true};
    if (record.test_before) chart.reference = record.test_before->percent();
    for (const RequestRecord& request : record.requests) {
        const double share = request.test.percent();
        chart.curves[0].points.push_back({static_cast<double>(chart.curves[0].points.size() + 1), share});
        chart.alternative += concat(" After request ", request.name, ": ", fixed(share, 2), ".");
    }
    std::vector<LegendEntry> entries{{record.method, test_mark()}};
    if (chart.reference)
        entries.push_back({"before all requests", before_mark(), true, fixed(*chart.reference, 2) + "\u00A0%"});
    return figure(draw(chart) + legend(entries), "D_test after each request");
}

}  // namespace

std::string continual(const ContinualRecord& record) {
    return element("p", escaped(concat(plural(static_cast<int64_t>(record.requests.size()), "request", "requests"),
                                       ", each forgotten with ", record.method,
                                       " by the model that the one before it left; ")) +
                            element("code", escaped(record.folder)) + ".") +
           "\n" +
           element("div", "\n" + triangle(record) + element("div", test_chart(record), {{"class", "grid"}}),
                   {{"class", "beside"}}) +
           "\n" + requests_table(record);
}

}  // namespace lethe::report
