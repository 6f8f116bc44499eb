#include <algorithm>
#include <cstdio>

#include "unlearn/metrics/measure.h"

namespace lethe {
namespace {

std::string decimals(const Json& value, int digits, double factor = 1) {
    if (value.is_null()) return "-";
    char text[32];
    std::snprintf(text, sizeof text, "%.*f", digits, factor * value.get<double>());
    return text;
}

std::string steps_of(const Json& relearning) {
    return (relearning.at("reached") ? "" : "> ") + std::to_string(relearning.at("steps").get<int64_t>());
}

std::string percent_of(const Json& accuracy) { return decimals(accuracy.at("accuracy"), 2); }

// A cell from the metric's entry.
struct Column {
    const char *metric, *title, *good;
    std::string (*cell)(const Json& entry);
};

const std::vector<Column>& answers() {
    static const std::vector<Column> columns{
        {"D_f", "D_f", "low %", percent_of},
        {"D_test", "D_test", "high %", percent_of},
        {"reemergence", "re-emerged", "low %", [](const Json& e) { return decimals(e.at("mean"), 2, 100); }},
        {"loss-attack", "loss AUC", "0.5", [](const Json& e) { return decimals(e.at("forget").at("auc"), 3); }},
        {"logistic-attack", "logistic", "0.5",
         [](const Json& e) { return e.is_null() ? std::string("-") : decimals(e.at("balanced_accuracy"), 3); }},
        {"svc-attack", "SVC out (test)", "both same",
         [](const Json& e) {
             return decimals(e.back().at("forget_out"), 3) + " (" + decimals(e.back().at("test_out"), 3) + ")";
         }},
        {"relearn", "relearn", "high", steps_of},
        {"relearn-last-layer", "last layer", "high", steps_of},
        {"activation-distance", "distance", "low test", [](const Json& e) { return decimals(e.at("test"), 4); }},
        {"zrf", "zrf", "=test", [](const Json& e) { return decimals(e.at("forget"), 3); }}};
    return columns;
}

const std::vector<Column>& insides() {
    const auto probe = [](const Json& e) { return percent_of(e.at("forget")) + " (" + percent_of(e.at("test")) + ")"; };
    static const std::vector<Column> columns{
        {"knn-probe", "k-NN D_f (test)", "both same", probe},
        {"linear-probe", "probe D_f (test)", "both same", probe},
        {"cka", "CKA D_f, D_r", "high D_r",
         [](const Json& e) {
             const Json& last = e.at("layers").at(e.at("layers").size() - 2);  // before the logits
             return decimals(last.at("forget"), 3) + ", " + decimals(last.at("retain"), 3);
         }},
        {"batchnorm", "D_f old BN, new BN", "low % both",
         [](const Json& e) {
             if (e.is_null()) return std::string("-");
             return percent_of(e.at("before").at("D_f")) + ", " + percent_of(e.at("estimated").at("D_f"));
         }},
        {"rf-jsd", "RF-JSD", "low", [](const Json& e) { return decimals(e.at("value"), 4); }},
        {"over-unlearning", "OU@eps", "low", [](const Json& e) { return decimals(e.at("divergence"), 4); }},
        {"drift", "protected (even)", "low",
         [](const Json& e) {
             const Json& whole = e.at("whole");
             return decimals(whole.at("protected_share"), 3) + " (" + decimals(whole.at("expected"), 3) + ")";
         }},
        {"attack-transfer", "x' as target", "high %",
         [](const Json& e) { return decimals(100.0 * e.at("target").get<double>() / e.at("rows").get<double>(), 2); }},
        {"cost", "seconds", "low", [](const Json& e) { return decimals(e.at("seconds"), 2); }},
        {"oracle-distance", "to oracle, D_f", "low",
         [](const Json& e) { return decimals(e.at("js").at("forget"), 4); }}};
    return columns;
}

void append_line(std::string& text, const std::vector<std::string>& cells, const std::vector<std::size_t>& widths) {
    for (std::size_t i = 0; i < cells.size(); ++i) {
        const std::string padding(widths[i] - cells[i].size(), ' ');
        text += i == 0 ? cells[i] + padding : "  " + padding + cells[i];
    }
    text += "\n";
}

// Columns that no arm has are left out; nothing where none is left.
std::string table_of(const Json& arms, const std::vector<Column>& columns) {
    std::vector<std::vector<std::string>> lines{{"arm"}, {"  good"}};
    for (const Json& arm : arms)
        if (!arm.at("diverged")) lines.push_back({arm.at("arm")});
    for (const Column& column : columns) {
        if (std::none_of(arms.begin(), arms.end(), [&](const Json& arm) { return arm.contains(column.metric); }))
            continue;
        lines[0].push_back(column.title);
        lines[1].push_back(column.good);
        std::size_t line = 2;
        for (const Json& arm : arms)
            if (!arm.at("diverged"))
                lines[line++].push_back(arm.contains(column.metric) ? column.cell(arm.at(column.metric)) : "-");
    }
    if (lines[0].size() == 1) return "";
    std::vector<std::size_t> widths(lines[0].size());
    for (const auto& line : lines)
        for (std::size_t i = 0; i < line.size(); ++i) widths[i] = std::max(widths[i], line[i].size());
    std::string text;
    for (const auto& line : lines) append_line(text, line, widths);
    return text;
}

}  // namespace

std::string measure_table(const Json& arms) {
    std::string text = table_of(arms, answers());
    if (const std::string more = table_of(arms, insides()); !more.empty()) text += "\n" + more;
    for (const Json& arm : arms)
        if (arm.at("diverged")) text += arm.at("arm").get<std::string>() + "  diverged: its answers are not numbers\n";
    return text;
}

}  // namespace lethe
