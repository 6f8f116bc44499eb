#include "unlearn/experiment/collect.h"
#include "unlearn/report/record_file.h"
#include "unlearn/report/records.h"

namespace lethe::report {
namespace {

Setting setting_from(const Json& json) {
    return {json.at("model"), json.at("data"), json.at("switches"), json.at("k")};
}

std::optional<Interval> interval_from(const Json& json) {
    if (json.at("low").is_null()) return std::nullopt;
    return Interval{json.at("low"), json.at("high")};
}

Estimate estimate_from(const Json& json) {
    return {number_or_nan(json.at("mean")), interval_from(json), json.value("note", std::string())};
}

ExperimentRow row_from(const Json& json) {
    ExperimentRow row{.setting = setting_from(json), .method = json.at("method")};
    row.runs = static_cast<int64_t>(json.at("seeds").size());
    const Json absent{{"mean", nullptr}, {"low", nullptr}};  // re-emergence in the results of older versions
    for (const std::string& quantity : quantities())
        row.estimates[quantity] =
            estimate_from(quantity == "reemergence" ? json.value(quantity, absent) : json.at(quantity));
    if (!json.contains("forgotten")) return row;
    row.forgotten = json.at("forgotten").at("runs");
    row.forgotten_share = interval_from(json.at("forgotten"));
    row.diverged = json.at("diverged");
    return row;
}

ExperimentComparison comparison_from(const Json& json) {
    ExperimentComparison comparison{.setting = setting_from(json),
                                    .set = json.at("set"),
                                    .first = json.at("first"),
                                    .second = json.at("second"),
                                    .difference = estimate_from(json.at("difference")),
                                    .p = {}};
    if (!json.at("p").is_null()) comparison.p = json.at("p").get<double>();
    for (const Json& seed : json.at("mcnemar")) {
        comparison.only_first += seed.at("only_first").get<int64_t>();
        comparison.only_second += seed.at("only_second").get<int64_t>();
    }
    return comparison;
}

}  // namespace

ExperimentRecord read_experiment(const std::filesystem::path& folder) {
    ExperimentRecord record{.name = name_of(folder), .folder = folder.string()};
    read_record(folder, "results.json", [&](const Json& json) {
        record.cells = json.at("cells");
        record.confidence = json.at("confidence");
        record.missing = json.at("missing").get<std::vector<std::string>>();
        record.warnings = json.at("warnings").get<std::vector<std::string>>();
        for (const Json& row : json.at("methods")) record.rows.push_back(row_from(row));
        for (const Json& comparison : json.at("comparisons")) record.comparisons.push_back(comparison_from(comparison));
    });
    return record;
}

}  // namespace lethe::report
