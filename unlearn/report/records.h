// What a report tells of: finished runs, experiments and sequences of requests, read from their folders.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "unlearn/evidence.h"
#include "unlearn/metrics/distances.h"
#include "unlearn/run.h"
#include "unlearn/statistics.h"

namespace lethe::report {

// An image of D_f.
struct ForgottenImage {
    int64_t index = 0, label = 0;
    std::string class_name, sha256;
    std::vector<uint8_t> png;       // a small picture; empty where there is none
    int64_t height = 0, width = 0;  // of it
};

// What one method made of one image: METHOD/dossier.json.
struct Fate {
    ImageView before, after;
    std::optional<int64_t> first_lost, lost_for_good;  // steps; none: never
};

// Images of one set that changed sides: METHOD/collateral.json.
struct ClassChange {
    std::string name;
    int64_t lost = 0, gained = 0;
};
struct Collateral {
    int64_t images = 0, lost = 0, gained = 0;
    double p = 1;  // McNemar's test
    std::vector<ClassChange> classes;
};

struct MethodRecord {
    MethodResult result;
    std::string weights_sha256;
    std::vector<StepTrace> trace;            // empty without trace.jsonl
    std::vector<Fate> fates;                 // in D_f's order; empty without dossier.json
    std::optional<Collateral> retain, test;  // absent without collateral.json
};

// What a metric of metrics.json found, for a table's cell.
struct Reading {
    std::string value;
    std::vector<std::string> notes = {};  // below it
};
struct MeasuredArm {
    std::string name;
    bool diverged = false;
    std::map<std::string, Reading> readings;   // by the metric's name
    std::map<std::string, Quantiles> margins;  // by "forget", "retain", "test"
    std::vector<double> reemergence;           // share of views of each image of D_f that is given the old label
};

struct AttackSummary {
    int64_t hits = 0, rows = 0;
    std::vector<uint8_t> sheet;  // attack.png
};

struct RunRecord {
    std::string name, folder;
    Json config, inputs, environment;   // as the files are; null without environment.json
    std::string manifest_sha256;        // of the file
    std::vector<std::string> findings;  // what is not as manifest.json says
    std::vector<ForgottenImage> images;
    Split split = Split::train;            // of what set they are images
    std::vector<std::string> class_names;  // of the dataset, where a file names them all
    std::string no_pictures;               // why images have no picture; empty: they have
    MethodResult before;
    std::vector<MethodRecord> methods;    // in the order of the command
    std::vector<MeasuredArm> arms;        // empty without metrics.json
    std::optional<AttackSummary> attack;  // absent without attack.json

    std::string option(const std::string& key) const;  // of config.json as text; empty: not given
    std::string class_name(int64_t label) const;       // "class 7" where no file names it
    bool relabels(const MethodRecord& method) const;
    bool corrects() const { return option("relabel") == "true"; }  // its images are to be given their true label
    std::string image_kind() const { return split == Split::test ? "test image" : "training image"; }
};

// Throws Error naming the file that is missing, unless the lines above say that it may be, or that is not as `lethe
// unlearn` or `lethe measure` writes it; and for a run that has not ended.
RunRecord read_run(const std::filesystem::path& folder);

// A mean over the forget sets of an experiment; NaN where a run does not know the quantity.
struct Estimate {
    double mean = 0;
    std::optional<Interval> interval;
    std::string note;
};
struct Setting {  // what the rows of one table have in common
    std::string model, data, switches;
    int64_t k = 0;
};
struct ExperimentRow {
    Setting setting = {};
    std::string method;
    int64_t runs = 0, forgotten = 0, diverged = 0;
    std::optional<Interval> forgotten_share = {};
    std::map<std::string, Estimate> estimates = {};  // by quantities()
};
struct ExperimentComparison {
    Setting setting;
    std::string set, first, second;
    Estimate difference;
    std::optional<double> p;
    int64_t only_first = 0, only_second = 0;  // over the runs
};
struct ExperimentRecord {
    std::string name, folder;
    int64_t cells = 0;
    double confidence = 0;
    std::vector<std::string> missing = {}, warnings = {};
    std::vector<ExperimentRow> rows = {};
    std::vector<ExperimentComparison> comparisons = {};
};
// Throws Error as read_run() does.
ExperimentRecord read_experiment(const std::filesystem::path& folder);

// Requests to forget, one after the other.
struct RequestRecord {
    std::string name, run, verdict;
    std::vector<int64_t> forget = {};
    int64_t steps = 0;
    double seconds = 0;
    Accuracy forgotten = {}, retain = {}, test = {};
    std::map<std::string, Accuracy> earlier =
        {};  // by the earlier request's name: how much of its D_f is recognised now
};
struct ContinualRecord {
    std::string name, folder, method = {};
    std::optional<Accuracy> retain_before = {}, test_before = {};  // of the weights before all requests
    std::vector<RequestRecord> requests = {};
};
// Throws Error as read_run() does.
ContinualRecord read_continual(const std::filesystem::path& folder);

enum class FolderKind { run, experiment, continual };
// By the files in it. Throws Error saying what is missing.
FolderKind kind_of(const std::filesystem::path& folder);

}  // namespace lethe::report
