#include "unlearn/experiment/collect.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <iterator>
#include <set>
#include <tuple>

#include "data/file.h"
#include "tensor/error.h"

namespace lethe {
namespace {

const char* const before_name = "before";

// A set of images after a method.
struct SetOutcome {
    int64_t total = 0;
    std::vector<int64_t> wrong;  // ascending
};

// One method in one finished cell.
struct CellOutcome {
    std::map<std::string, double> values;
    std::map<std::string, SetOutcome> sets;
    bool forgotten = false, diverged = false;
};

Json read_run_file(const std::filesystem::path& path) {
    try {
        return Json::parse(read_text(path));
    } catch (const Json::exception& error) {
        fail(path.string(), " is not valid JSON (", error.what(), ")");
    }
}

CellOutcome read_outcome(const std::filesystem::path& path) {
    const Json json = read_run_file(path);
    CellOutcome outcome;
    try {
        for (const char* quantity : {"D_f", "D_r", "D_test", "steps", "seconds"})
            outcome.values[quantity] = json.at(quantity).get<double>();
        const Json copies = json.value("reemergence", Json());  // null: images too small; absent: an older run
        outcome.values["reemergence"] = copies.is_null() ? std::nan("") : copies.get<double>();
        for (const auto& [set, key] : {std::pair{"D_f", "forget"}, {"D_r", "retain"}, {"D_test", "test"}})
            outcome.sets[set] = {json.at(key).at("total"), json.at(key).at("wrong").get<std::vector<int64_t>>()};
        outcome.forgotten = json.at("verdict") == "forgotten";
        outcome.diverged = json.at("verdict") == "diverged";
    } catch (const Json::exception& error) {
        fail(path.string(), " is not the result of a method (", error.what(), ")");
    }
    return outcome;
}

int64_t count_missing_from(const std::vector<int64_t>& from, const std::vector<int64_t>& items) {
    std::vector<int64_t> found;
    std::set_difference(items.begin(), items.end(), from.begin(), from.end(), std::back_inserter(found));
    return static_cast<int64_t>(found.size());
}

Summary summary_of(const std::vector<double>& values) {
    if (std::all_of(values.begin(), values.end(), [](double value) { return std::isfinite(value); }))
        return summarize(values);
    Summary none;
    none.mean = std::nan("");
    none.note = "some runs do not know it";
    return none;
}

class Collector {
public:
    Collector(const Grid& grid, const std::filesystem::path& runs) : grid_(grid), runs_(runs) {}
    ExperimentResults collect();

private:
    std::size_t group_of(const Cell& cell);
    void read_cell(const Cell& cell);
    void check_inputs(const Cell& cell);
    void summarise(std::size_t group, const std::string& method);
    void compare(std::size_t group, const std::string& first, const std::string& second, const std::string& set);
    void warn();

    const std::vector<CellOutcome>& outcomes(std::size_t group, const std::string& method) const {
        return outcomes_.at({group, method});
    }

    const Grid& grid_;
    const std::filesystem::path& runs_;
    ExperimentResults results_;
    std::map<std::pair<std::size_t, std::string>, std::vector<CellOutcome>> outcomes_;  // in the order of the cells
    std::map<std::string, std::pair<std::string, std::string>> inputs_;                 // what -> hash, first cell
};

std::size_t Collector::group_of(const Cell& cell) {
    const auto key = [](const auto& item) { return std::tie(item.model, item.data, item.switches, item.k); };
    auto& groups = results_.groups;
    const auto found = std::find_if(groups.begin(), groups.end(), [&](const Group& g) { return key(g) == key(cell); });
    if (found != groups.end()) return static_cast<std::size_t>(found - groups.begin());
    groups.push_back({cell.model, cell.data, cell.switches, cell.k, {}, {}, 0});
    return groups.size() - 1;
}

// Cells of one model and one dataset are only comparable when they read the same bytes.
void Collector::check_inputs(const Cell& cell) {
    const std::filesystem::path path = runs_ / cell.name / "inputs.json";
    const Json inputs = read_run_file(path);
    for (const auto& [what, key] : {std::pair{"weights of " + cell.model, "weights_sha256"},
                                    {"training images of " + cell.data, "train_sha256"},
                                    {"test images of " + cell.data, "test_sha256"}}) {
        check(inputs.contains(key) && inputs.at(key).is_string(), path.string(), " has no ", key);
        const std::string hash = inputs.at(key);
        const auto& [known, where] = inputs_.try_emplace(what, hash, cell.name).first->second;
        check(known == hash, "cells ", where, " and ", cell.name, " were made with different ", what,
              ": the file has changed between them; remove the run directories of the older ones");
    }
}

void Collector::read_cell(const Cell& cell) {
    const std::size_t group = group_of(cell);
    ++results_.groups[group].wanted;
    ++results_.cells;
    const std::filesystem::path run = runs_ / cell.name;
    if (!is_finished(run)) return results_.missing.push_back(cell.name);
    check_inputs(cell);
    results_.groups[group].seeds.push_back(cell.seed);
    if (cell.set) results_.groups[group].sets.push_back(*cell.set);
    const CellOutcome before = read_outcome(run / "before.json");
    const auto add = [&](const std::string& method, CellOutcome outcome) {
        outcome.values["drop"] = before.values.at("D_test") - outcome.values.at("D_test");
        outcomes_[{group, method}].push_back(std::move(outcome));
    };
    add(before_name, before);
    for (const std::string& method : grid_.methods) add(method, read_outcome(run / method / "result.json"));
}

void Collector::summarise(std::size_t group, const std::string& method) {
    MethodSummary summary{group, method, {}, {}, 0, 0};
    for (const CellOutcome& outcome : outcomes(group, method)) {
        for (const auto& [quantity, value] : outcome.values) summary.values[quantity].push_back(value);
        summary.forgotten += outcome.forgotten ? 1 : 0;
        summary.diverged += outcome.diverged ? 1 : 0;
    }
    for (const auto& [quantity, values] : summary.values)
        summary.summaries[quantity] = summary_of(results_.groups[group].by_set(values));
    results_.methods.push_back(std::move(summary));
}

void Collector::compare(std::size_t group, const std::string& first, const std::string& second,
                        const std::string& set) {
    MethodComparison comparison{group, first, second, set, {}, 0, {}};
    std::vector<double> left, right;
    const Group& cells = results_.groups[group];
    for (std::size_t cell = 0; cell < cells.seeds.size(); ++cell) {
        const CellOutcome &a = outcomes(group, first)[cell], &b = outcomes(group, second)[cell];
        left.push_back(a.values.at(set));
        right.push_back(b.values.at(set));
        const std::vector<int64_t>&wrong_a = a.sets.at(set).wrong, &wrong_b = b.sets.at(set).wrong;
        const int64_t only_first = count_missing_from(wrong_a, wrong_b);
        const int64_t only_second = count_missing_from(wrong_b, wrong_a);
        comparison.discordant.push_back({only_first, only_second, mcnemar_exact(only_first, only_second)});
        comparison.one_image = resolution(a.sets.at(set).total);
    }
    comparison.accuracy = compare_paired(cells.by_set(left), cells.by_set(right));
    results_.comparisons.push_back(std::move(comparison));
}

void Collector::warn() {
    for (const Group& group : results_.groups)
        if (group.by_set(std::vector<double>(group.seeds.size())).size() == 1)
            results_.warnings.push_back(concat(group.model, " on ", group.data, ", k = ", group.k, ": one ",
                                               group.sets.empty() ? "seed" : "set",
                                               " tells nothing about the spread between forget sets; name several"));
    for (const MethodComparison& comparison : results_.comparisons) {
        const double difference = std::abs(comparison.accuracy.difference.mean);
        // One image is not less than one image, though quotients are rounded.
        if (difference == 0 || difference >= comparison.one_image * (1 - 1e-9)) continue;
        const Group& group = results_.groups[comparison.group];
        char sizes[96];
        std::snprintf(sizes, sizeof sizes, "differ by %.3g points, less than one image (%.3g)", difference,
                      comparison.one_image);
        results_.warnings.push_back(concat(group.model, " on ", group.data, ", k = ", group.k, ": on ", comparison.set,
                                           " ", comparison.first, " and ", comparison.second, " ", sizes));
    }
}

ExperimentResults Collector::collect() {
    for (const Cell& cell : cells_of(grid_)) read_cell(cell);
    check(results_.missing.size() < results_.cells, "experiment: no cell in ", runs_.string(), " is finished yet");
    for (std::size_t group = 0; group < results_.groups.size(); ++group) {
        if (results_.groups[group].seeds.empty()) continue;
        summarise(group, before_name);
        for (const std::string& method : grid_.methods) summarise(group, method);
        for (const auto& [first, second] : grid_.compare)
            for (const char* set : {"D_f", "D_r", "D_test"}) compare(group, first, second, set);
    }
    warn();
    return std::move(results_);
}

}  // namespace

const std::vector<std::string>& quantities() {
    static const std::vector<std::string> list{"D_f", "reemergence", "D_r", "D_test", "drop", "steps", "seconds"};
    return list;
}

std::vector<double> Group::by_set(const std::vector<double>& values) const {
    if (sets.empty()) return values;
    std::vector<double> means;
    for (std::size_t begin = 0, end = 0; begin < values.size(); begin = end) {  // cells of one set follow each other
        double sum = 0;
        for (end = begin; end < values.size() && sets[end] == sets[begin]; ++end) sum += values[end];
        means.push_back(sum / static_cast<double>(end - begin));
    }
    return means;
}

bool is_finished(const std::filesystem::path& run) { return is_file(run / "manifest.json"); }

ExperimentResults collect(const Grid& grid, const std::filesystem::path& runs) {
    return Collector(grid, runs).collect();
}

}  // namespace lethe
