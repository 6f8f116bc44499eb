// Other images that a method's model answers differently from the model before.
#include <algorithm>

#include "tensor/error.h"
#include "unlearn/report/sections.h"

namespace lethe::report {
namespace {

constexpr std::size_t most_classes = 20;

using Part = std::optional<Collateral> MethodRecord::*;

std::vector<const MethodRecord*> methods_with(const RunRecord& run, Part part) {
    std::vector<const MethodRecord*> found;
    for (const MethodRecord& method : run.methods)
        if (method.*part) found.push_back(&method);
    return found;
}

std::string sides_html(int64_t lost, int64_t gained, int64_t most) {
    std::string html =
        concat(lost == 0 ? "0" : "\u2212" + grouped(lost), " / ", gained == 0 ? "0" : "+" + grouped(gained));
    if (most > 0 && lost > 0)
        html +=
            element("span", "",
                    {{"class", "bar"}, {"style", concat("width:", 100 * lost / most, "%")}, {"aria-hidden", "true"}});
    return html;
}

// Classes by the images lost over all methods, the most first; without those that nothing happened to when there are
// many.
std::vector<std::size_t> order_of_classes(const std::vector<const MethodRecord*>& methods, Part part) {
    std::vector<std::size_t> order;
    std::vector<int64_t> lost, changed;
    for (const MethodRecord* method : methods) {
        const std::vector<ClassChange>& classes = (method->*part)->classes;
        lost.resize(std::max(lost.size(), classes.size()));
        changed.resize(lost.size());
        for (std::size_t i = 0; i < classes.size(); ++i) {
            lost[i] += classes[i].lost;
            changed[i] += classes[i].lost + classes[i].gained;
        }
    }
    for (std::size_t i = 0; i < lost.size(); ++i)
        if (changed[i] > 0 || lost.size() <= most_classes) order.push_back(i);
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return lost[a] > lost[b]; });
    return order;
}

std::string changes_table(const std::vector<RunRecord>& runs, const RunRecord& run, const std::string& set, Part part) {
    const std::vector<const MethodRecord*> methods = methods_with(run, part);
    if (methods.empty()) return "";
    std::vector<Column> columns{{"class", false}};
    int64_t most = 0;
    for (const MethodRecord* method : methods) {
        columns.push_back({method->result.method});
        for (const ClassChange& change : (method->*part)->classes) most = std::max(most, change.lost);
    }
    const int64_t images = (methods.front()->*part)->images;
    Table table(concat(set, of_run(runs, run), ", ", grouped(images),
                       " images: from right to wrong (\u2212) / from wrong to right (+), by class"),
                columns);
    std::vector<std::string> all, p;
    for (const MethodRecord* method : methods) {
        all.push_back(sides_html((method->*part)->lost, (method->*part)->gained, 0));
        p.push_back(escaped(p_value((method->*part)->p)));
    }
    table.row("all", all);
    table.row(escaped("McNemar's test"), p);
    const std::vector<std::size_t> order = order_of_classes(methods, part);
    for (std::size_t row = 0; row < std::min(order.size(), most_classes); ++row) {
        std::vector<std::string> cells;
        std::string name;
        for (const MethodRecord* method : methods) {
            const std::vector<ClassChange>& classes = (method->*part)->classes;
            const ClassChange change = order[row] < classes.size() ? classes[order[row]] : ClassChange{};
            if (name.empty()) name = change.name;
            cells.push_back(sides_html(change.lost, change.gained, most));
        }
        table.row(escaped(name), cells);
    }
    const std::string rest = order.size() > most_classes
                                 ? paragraph(concat(order.size() - most_classes,
                                                    " more classes have changes; METHOD/collateral.json has them."))
                                 : "";
    return table.html() + rest;
}

}  // namespace

std::string collateral(const std::vector<RunRecord>& runs) {
    std::string html, without;
    for (const RunRecord& run : runs) {
        const std::string tables = element("div",
                                           "\n" + changes_table(runs, run, "D_test", &MethodRecord::test) +
                                               changes_table(runs, run, "D_r", &MethodRecord::retain),
                                           {{"class", "tables"}});
        const bool none = methods_with(run, &MethodRecord::test).empty();
        if (!none) html += run_heading(runs, run) + tables + "\n";
        if (methods_with(run, &MethodRecord::test).size() < run.methods.size())
            without += (without.empty() ? "" : ", ") + run.name;
    }
    if (!html.empty())
        html = paragraph(
                   "McNemar's test: how probable so uneven a split of the images that changed sides would be, if "
                   "either side were as likely. It treats the images as independent.") +
               html;
    if (!without.empty())
        html += paragraph("Not known for all methods, for want of METHOD/collateral.json: " + without + ".");
    return html;
}

}  // namespace lethe::report
