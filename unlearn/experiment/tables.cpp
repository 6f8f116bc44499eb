// The results of an experiment as JSON, as CSV and as text.
#include <algorithm>
#include <cmath>
#include <cstdio>

#include "tensor/error.h"
#include "unlearn/experiment/collect.h"

namespace lethe {
namespace {

Json or_null(const std::optional<double>& value) { return value ? Json(*value) : Json(); }

Json to_json(const Summary& summary) {
    Json json{{"n", summary.n}, {"mean", summary.mean}, {"sd", or_null(summary.deviation)}};  // NaN is written as null
    json["low"] = summary.interval ? Json(summary.interval->low) : Json();
    json["high"] = summary.interval ? Json(summary.interval->high) : Json();
    if (!summary.note.empty()) json["note"] = summary.note;
    return json;
}

Json group_json(const Group& group) {
    return {{"model", group.model}, {"data", group.data}, {"k", group.k}, {"switches", group.switches}};
}

Json method_json(const ExperimentResults& results, const MethodSummary& method) {
    const Group& group = results.groups[method.group];
    Json json = group_json(group);
    json.update({{"method", method.method}, {"seeds", group.seeds}});
    if (!group.sets.empty()) json["sets"] = group.sets;
    if (method.method != "before") {
        const auto runs = static_cast<int64_t>(group.seeds.size());
        const Interval share = wilson_interval(method.forgotten, runs);
        json["forgotten"] = {{"runs", method.forgotten}, {"of", runs}, {"low", share.low}, {"high", share.high}};
        json["diverged"] = method.diverged;
    }
    for (const std::string& quantity : quantities()) {
        json[quantity] = to_json(method.summaries.at(quantity));
        json[quantity]["values"] = method.values.at(quantity);
    }
    return json;
}

Json comparison_json(const ExperimentResults& results, const MethodComparison& comparison) {
    Json json = group_json(results.groups[comparison.group]);
    json.update({{"set", comparison.set}, {"first", comparison.first}, {"second", comparison.second}});
    json["difference"] = to_json(comparison.accuracy.difference);
    json["t"] = or_null(comparison.accuracy.t);
    json["p"] = or_null(comparison.accuracy.p);
    json["one_image"] = comparison.one_image;
    Json discordant = Json::array();
    const Group& group = results.groups[comparison.group];
    for (std::size_t i = 0; i < group.seeds.size(); ++i) {
        const MethodComparison::Discordant& cell = comparison.discordant[i];
        Json entry{{"seed", group.seeds[i]},
                   {"only_first", cell.only_first},
                   {"only_second", cell.only_second},
                   {"p", cell.p}};
        if (!group.sets.empty()) entry["set"] = group.sets[i];
        discordant.push_back(entry);
    }
    json["mcnemar"] = discordant;
    return json;
}

// RFC 4180: the quotes are for switch sets, which hold commas.
std::string quoted(const std::string& text) {
    return text.find_first_of(",\"\n") == std::string::npos ? text : "\"" + text + "\"";
}

std::string csv_group(const Group& group) {
    return concat(group.model, ",", group.data, ",", group.k, ",", quoted(group.switches));
}

std::string csv_number(const std::optional<double>& value) {
    if (!value || std::isnan(*value)) return "";
    char text[32];
    std::snprintf(text, sizeof text, "%.10g", *value);
    return text;
}

std::string csv_summary(const Summary& summary) {
    return csv_number(summary.mean) + "," + csv_number(summary.deviation) + "," +
           (summary.interval ? csv_number(summary.interval->low) : "") + "," +
           (summary.interval ? csv_number(summary.interval->high) : "");
}

// "84.31 +- 4.51": half of the interval.
std::string cell_text(const Summary& summary, int digits) {
    char text[64];
    const double mean = summary.mean == 0 ? 0 : summary.mean;  // no "-0"
    if (std::isnan(mean)) return "-";
    if (summary.interval)
        std::snprintf(text, sizeof text, "%.*f +- %.*f", digits, mean, digits, summary.interval->high - summary.mean);
    else
        std::snprintf(text, sizeof text, "%.*f", digits, mean);
    return text;
}

std::string padded(std::string text, std::size_t width) {
    text.resize(std::max(width, text.size()), ' ');
    return text + "  ";
}

std::string method_line(const MethodSummary& method, std::size_t runs) {
    const bool before = method.method == "before";
    std::string line = "  " + padded(method.method, 15);
    line += padded(before ? "" : concat(method.forgotten, " of ", runs), 9);
    line += padded(before ? "" : std::to_string(method.diverged), 8);
    for (const std::string& quantity : quantities()) {
        const bool accuracy = quantity != "steps" && quantity != "seconds";
        if (before && (!accuracy || quantity == "drop")) break;
        line += padded(cell_text(method.summaries.at(quantity), quantity == "steps" ? 1 : 2), accuracy ? 15 : 14);
    }
    return line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
}

std::string comparison_line(const MethodComparison& comparison) {
    const PairedComparison& accuracy = comparison.accuracy;
    std::string line = "  " + padded(comparison.first + " - " + comparison.second, 24) + padded(comparison.set, 6);
    char text[96];
    if (accuracy.p)
        std::snprintf(text, sizeof text, "%+8.2f  [%.2f, %.2f]  p = %.3g", accuracy.difference.mean,
                      accuracy.difference.interval->low, accuracy.difference.interval->high, *accuracy.p);
    else
        std::snprintf(text, sizeof text, "%+8.2f  %s", accuracy.difference.mean, accuracy.difference.note.c_str());
    return line + text + "\n";
}

}  // namespace

Json to_json(const ExperimentResults& results) {
    Json methods = Json::array(), comparisons = Json::array();
    for (const MethodSummary& method : results.methods) methods.push_back(method_json(results, method));
    for (const MethodComparison& comparison : results.comparisons)
        comparisons.push_back(comparison_json(results, comparison));
    return {{"cells", results.cells}, {"missing", results.missing}, {"confidence", usual_confidence},
            {"methods", methods},     {"comparisons", comparisons}, {"warnings", results.warnings}};
}

std::string summaries_csv(const ExperimentResults& results) {
    std::string csv = "model,data,k,switches,method,n,runs,forgotten,forgotten_low,forgotten_high,diverged";
    for (const std::string& quantity : quantities())
        for (const char* part : {"mean", "sd", "low", "high"}) csv += "," + quantity + "_" + part;
    csv += "\n";
    for (const MethodSummary& method : results.methods) {
        const Group& group = results.groups[method.group];
        const auto runs = static_cast<int64_t>(group.seeds.size());
        csv += concat(csv_group(group), ",", method.method, ",", method.summaries.at("D_f").n, ",", runs, ",");
        if (method.method == "before") {
            csv += ",,,";
        } else {
            const Interval share = wilson_interval(method.forgotten, runs);
            csv +=
                concat(method.forgotten, ",", csv_number(share.low), ",", csv_number(share.high), ",", method.diverged);
        }
        for (const std::string& quantity : quantities()) csv += "," + csv_summary(method.summaries.at(quantity));
        csv += "\n";
    }
    return csv;
}

std::string comparisons_csv(const ExperimentResults& results) {
    std::string csv = "model,data,k,switches,set,first,second,n,difference,sd,low,high,t,p,one_image,note\n";
    for (const MethodComparison& comparison : results.comparisons) {
        const Summary& difference = comparison.accuracy.difference;
        csv += concat(csv_group(results.groups[comparison.group]), ",", comparison.set, ",", comparison.first, ",",
                      comparison.second, ",", difference.n, ",", csv_summary(difference), ",",
                      csv_number(comparison.accuracy.t), ",", csv_number(comparison.accuracy.p), ",",
                      csv_number(comparison.one_image), ",", difference.note, "\n");
    }
    return csv;
}

std::string results_table(const ExperimentResults& results) {
    std::string text;
    for (std::size_t i = 0; i < results.groups.size(); ++i) {
        const Group& group = results.groups[i];
        if (group.seeds.empty()) continue;
        text +=
            concat(text.empty() ? "" : "\n", group.model, " on ", group.data, ", k = ", group.k,
                   group.switches.empty() ? "" : ", " + group.switches, ": ", group.seeds.size(), " of ", group.wanted,
                   group.sets.empty() ? " seeds" : " runs", "; one image of D_f is ", resolution(group.k), " %\n");
        text +=
            "  method           forgotten  diverged  D_f              copies           D_r              D_test         "
            "  drop             steps           seconds\n";
        for (const MethodSummary& method : results.methods)
            if (method.group == i) text += method_line(method, group.seeds.size());
        for (const MethodComparison& comparison : results.comparisons)
            if (comparison.group == i) text += comparison_line(comparison);
    }
    const bool of_sets = std::any_of(results.groups.begin(), results.groups.end(),
                                     [](const Group& group) { return !group.sets.empty(); });
    text += concat(
        "\ncopies: changed copies of D_f given their true label (re-emergence), per cent. +-: half of the 95 % "
        "interval of the\nmean over ",
        of_sets ? "forget sets, each the mean of its seeds" : "seeds",
        ", where there is one. Differences are paired: the same forget sets and\nadversarial images; [95 % "
        "interval], p of the paired t test, not corrected for their number.\n");
    for (const std::string& warning : results.warnings) text += "warning: " + warning + "\n";
    return text;
}

}  // namespace lethe
