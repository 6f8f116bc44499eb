#include <algorithm>
#include <cmath>

#include "unlearn/image_set.h"
#include "unlearn/method.h"
#include "unlearn/report/measured.h"
#include "unlearn/report/record_file.h"
#include "unlearn/report/records.h"
#include "unlearn/run_manifest.h"
#include "unlearn/trace.h"

namespace lethe::report {
namespace {

namespace fs = std::filesystem;

ImageView view_from(const Json& json) {
    return {.predicted = json.at("predicted"),
            .probability = number_or_nan(json.at("probability")),
            .rank = json.at("rank"),
            .margin = number_or_nan(json.at("margin"))};
}

Collateral collateral_from(const Json& json) {
    Collateral collateral{json.at("images"), json.at("lost"), json.at("gained"), json.at("p_value"), {}};
    for (const Json& entry : json.at("per_class"))
        collateral.classes.push_back({entry.at("class"), entry.at("right_to_wrong"), entry.at("wrong_to_right")});
    return collateral;
}

// The methods of "a,b", which are folders of the run: none but known names.
std::vector<std::string> methods_of(const Json& config) {
    std::vector<std::string> names;
    std::string rest = config.at("methods");
    while (!rest.empty()) {
        const std::size_t comma = rest.find(',');
        if (comma > 0) names.push_back(find_method(rest.substr(0, comma)).name);
        rest = comma == std::string::npos ? "" : rest.substr(comma + 1);
    }
    return names;
}

std::vector<Fate> read_fates(const fs::path& folder, const std::string& method, const RunRecord& run) {
    std::vector<Fate> fates;
    const std::string file = method + "/dossier.json";
    read_optional_record(folder, file, [&](const Json& json) {
        for (const Json& image : json.at("images")) {
            const bool known = fates.size() < run.images.size() && image.at("index") == run.images[fates.size()].index;
            check(known, "report: ", (folder / file).string(), " is not of the images in forget_set.json");
            fates.push_back({view_from(image.at("before")), view_from(image.at("after")),
                             integer_or_none(image.at("first_lost")), integer_or_none(image.at("lost_for_good"))});
        }
        check(fates.size() == run.images.size(), "report: ", (folder / file).string(), " tells of ", fates.size(),
              " images, forget_set.json of ", run.images.size());
    });
    return fates;
}

MethodRecord read_method(const fs::path& folder, const std::string& name, RunRecord& run) {
    MethodRecord method;
    read_record(folder, name + "/result.json", [&](const Json& json) {
        method.result = result_from(json);
        method.weights_sha256 = json.at("weights_sha256");
    });
    check(method.result.method == name, "report: ", (folder / name / "result.json").string(), " is the result of ",
          method.result.method);
    const fs::path trace = folder / name / "trace.jsonl";
    if (is_there(trace)) method.trace = read_trace(trace, -1);
    for (const StepTrace& step : method.trace) members_of(step.recognised, run.images.size());
    method.fates = read_fates(folder, name, run);
    read_optional_record(folder, name + "/collateral.json", [&](const Json& json) {
        method.retain = collateral_from(json.at("retain"));
        method.test = collateral_from(json.at("test"));
        if (!run.class_names.empty()) return;
        for (const ClassChange& change : method.test->classes) run.class_names.push_back(change.name);
    });
    return method;
}

// Nothing where the file is no picture.
std::vector<uint8_t> read_png(const fs::path& path) {
    static constexpr uint8_t signature[] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
    if (!is_file(path)) return {};
    std::vector<uint8_t> bytes = read_file(path);
    check(bytes.size() > sizeof signature && std::equal(std::begin(signature), std::end(signature), bytes.begin()),
          "report: ", path.string(), " is not a PNG file; it is damaged");
    return bytes;
}

void check_ended(const fs::path& folder) {
    check(is_folder(folder), "report: ", folder.string(),
          " is no folder; give the --out of a lethe unlearn, experiment "
          "or continual");
    check(is_there(folder / manifest_file), "report: ", folder.string(), " has no ", manifest_file,
          ": its run has not ended; give the same lethe unlearn again, which continues it");
}

}  // namespace

std::string RunRecord::option(const std::string& key) const {
    if (!config.contains(key)) return "";
    const Json& value = config.at(key);
    return value.is_string() ? value.get<std::string>() : value.dump();
}

std::string RunRecord::class_name(int64_t label) const {
    if (label >= 0 && label < static_cast<int64_t>(class_names.size()))
        return class_names[static_cast<std::size_t>(label)];
    for (const ForgottenImage& image : images)
        if (image.label == label) return image.class_name;
    return label < 0 ? "no class" : concat("class ", label);
}

bool RunRecord::relabels(const MethodRecord& method) const {
    return find_method(method.result.method).objective == Objective::relabel;
}

RunRecord read_run(const fs::path& folder) {
    check_ended(folder);
    RunRecord run;
    run.name = name_of(folder);
    run.folder = folder.string();
    Json manifest;
    run.findings = manifest_findings(folder, manifest);
    run.manifest_sha256 = sha256_file(folder / manifest_file);
    std::vector<std::string> methods;
    read_record(folder, "config.json", [&](const Json& json) {
        run.config = json;
        methods = methods_of(json);
    });
    read_record(folder, "inputs.json", [&](const Json& json) {
        for (const char* key : {"weights_sha256", "train_sha256", "test_sha256"}) json.at(key).get<std::string>();
        for (const auto& [name, value] : json.at("switches").items()) value.get<std::string>();
        run.inputs = json;
    });
    read_optional_record(folder, "environment.json", [&](const Json& json) {
        for (const auto& [name, value] : json.items()) check(value.is_primitive(), "report: ", name, " is no value");
        run.environment = json;
    });
    read_record(folder, "forget_set.json", [&](const Json& json) {
        run.split = json.at("split") == name(Split::test) ? Split::test : Split::train;
        for (const Json& image : json.at("images"))
            run.images.push_back({image.at("index"), image.at("label"), image.at("class"), image.at("sha256"), {}});
    });
    check(!run.images.empty(), "report: ", (folder / "forget_set.json").string(), " lists no image");
    run.no_pictures = "the images were not looked for";
    read_record(folder, "before.json", [&](const Json& json) { run.before = result_from(json); });
    for (const std::string& name : methods) run.methods.push_back(read_method(folder, name, run));
    read_optional_record(folder, "attack.json", [&](const Json& json) {
        run.attack = AttackSummary{json.at("hits"), json.at("rows"), read_png(folder / "attack.png")};
    });
    read_optional_record(folder, "metrics.json", [&](const Json& json) {
        std::vector<int64_t> indices;
        for (const ForgottenImage& image : run.images) indices.push_back(image.index);
        check(json.at("forget").get<std::vector<int64_t>>() == indices, "report: ", (folder / "metrics.json").string(),
              " is of other images than forget_set.json; give lethe measure ", folder.string(), " again");
        for (const Json& arm : json.at("arms")) run.arms.push_back(measured_arm(arm));
    });
    return run;
}

FolderKind kind_of(const fs::path& folder) {
    check(is_folder(folder), "report: ", folder.string(),
          " is no folder; give the --out of a lethe unlearn, experiment or continual");
    if (is_there(folder / "continual.json")) return FolderKind::continual;
    if (is_there(folder / "config.json")) return FolderKind::run;
    check(is_there(folder / "results.json"), "report: ", folder.string(), " has neither config.json of lethe unlearn, ",
          "continual.json of lethe continual nor results.json of lethe experiment",
          is_folder(folder / "cells") ? "; lethe experiment FILE --collect writes the latter" : "");
    return FolderKind::experiment;
}

}  // namespace lethe::report
