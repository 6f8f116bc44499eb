// A whole unlearning run: forget set, attack, importance, every method, evaluation, files. Resumable at any point.
#pragma once

#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "data/weights.h"
#include "unlearn/evidence.h"
#include "unlearn/inversion.h"
#include "unlearn/metrics.h"
#include "unlearn/pgd.h"
#include "unlearn/pictures.h"
#include "unlearn/run_directory.h"
#include "unlearn/unlearn.h"

namespace lethe {

// Tells the caller what goes on; the library itself prints nothing.
class Reporter {
public:
    virtual ~Reporter() = default;
    // A phase of `total` units begins ("attack", "rows"); total 0 = unknown. Then progress(done, detail), then
    // end(summary).
    virtual void begin(const std::string& phase, int64_t total, const std::string& unit) = 0;
    virtual void progress(int64_t done, const std::string& detail) = 0;
    virtual void end(const std::string& summary) = 0;
    virtual void note(const std::string& line) = 0;  // a warning or a fact worth a line
};

struct RunOptions {
    std::vector<std::string> methods;  // at least one; usual_methods() where nobody names any
    UnlearnOptions unlearn;
    PgdOptions attack;
    InversionOptions inversion;  // of methods with distillation
    int64_t repeats = 20;        // adversarial images per image of D_f
    // y*: "random" (another class, drawn), "second" (the runner-up), a class name, or "true": a correction of images
    // that the model gets wrong, each towards its own label
    std::string relabel = "random";
    Split forget_split = Split::train;  // what D_f is of; test images in it are not D_test
    std::vector<int64_t> earlier;       // training images that were forgotten before: they are not D_r
    int64_t retain_limit = 0;           // evaluate at most this many of D_r, evenly spread; 0 = all
    int64_t retain_train_limit = 0;     // methods that look at D_r get at most this many of it; 0 = all
    uint64_t seed = 0;
    double checkpoint_seconds = 5;  // at most this much work is lost by a kill
    Metadata source_metadata;       // of the weights' file; what was trained on is passed on to the unlearned weights

    bool corrects() const { return relabel == "true"; }
    void validate() const;  // throws Error naming the option and its range
};

// What has to be made of the weights before for the methods of a run: adversarial images, inverted images.
struct RunNeeds {
    bool attack = false, inversion = false;
};
RunNeeds needs_of(const RunOptions& options, const Model& model);  // throws Error as proxy_sources() does

// attack_pool() with the adversarial images written to `path` as they come, as the tensor "images" (data/row_file.h).
std::vector<PgdReport> attack_to_file(const std::filesystem::path& path, Model& twin, const Tensor& images,
                                      std::span<const int64_t> labels, const PgdOptions& options,
                                      const std::function<void(int64_t)>& progress);

// One line of the comparison.
struct MethodResult {
    std::string method;  // "before" for the untouched model
    std::string data;    // what the method looked at, as Method::data; "" for the untouched model
    Evaluation forget, retain, test;
    double reemergence = std::numeric_limits<double>::quiet_NaN();  // of D_f: usual_reemergence()
    Verdict verdict = Verdict::not_forgotten;
    std::string reason;
    int64_t steps = 0;
    double seconds = 0;  // unlearning alone: without attack, inversion, importance and evaluation of D_r and D_test
};
Verdict verdict_from(const std::string& text);  // the inverse of name(Verdict); throws Error for anything else
// Calls the model diverged where its logits are not finite or its retained accuracy is near chance; true when so.
bool note_divergence(MethodResult& result, int64_t classes);

// What the files of a run hold, for those who write them and for those who check them.
Json to_json(const MethodResult& result);    // before.json, METHOD/result.json (without weights_sha256)
MethodResult result_from(const Json& json);  // its inverse; throws Error or Json::exception for anything else
Json results_json(const std::vector<MethodResult>& rows);
std::string results_csv(const std::vector<MethodResult>& rows);
std::vector<ResultBars> result_bars(const std::vector<MethodResult>& rows);  // of results.png
// Of METHOD/weights.safetensors; `source` is that of the weights before.
Metadata unlearned_metadata(const ModelSpec& spec, const std::string& method, const Metadata& source);
Json forget_set_json(const Dataset& source, const std::vector<int64_t>& forget);
Json inversion_json(const Inversion& inversion, int64_t hits, double seconds);
Json attack_json(const std::vector<int64_t>& forget, const std::vector<int64_t>& targets,
                 const std::vector<PgdReport>& reports, double seconds);

// What follows from the options and D_f alone. Labels are in D_f's order; targets repeat-major, as draw_targets().
// The images that a run looks at besides D_f.
struct RunSets {
    const Dataset& source;        // of D_f: the training or the test set
    std::vector<int64_t> retain;  // D_r as it is evaluated, ascending: all, or evenly spread where there is a limit
    std::vector<int64_t> retain_train;  // D_r as methods that look at it see it, likewise with a limit of its own
    std::vector<int64_t> test;          // D_test, ascending
};
RunSets run_sets(const Dataset& train, const Dataset& test, const std::vector<int64_t>& forget,
                 const RunOptions& options);
// The labels that no adversarial image is made for: the true ones; in a correction those that the model gives now
// (`before`: how it sees D_f), which are to go.
std::vector<int64_t> labels_to_leave(const std::vector<ImageView>& before, const std::vector<int64_t>& labels,
                                     const RunOptions& options);
std::vector<int64_t> attack_targets(const std::vector<int64_t>& leave, int64_t classes, const RunOptions& options);
// y* of the relabel methods; `twin` is the untouched model, `source` that of D_f. Throws Error for a class that there
// is not or that an image of D_f has already, and for an image to be corrected that the model gets right.
std::vector<int64_t> new_labels(Model& twin, const Dataset& source, const ForgetTask& task, const RunOptions& options);
ImportanceOptions importance_options(const UnlearnOptions& options);

struct RunResult {
    std::vector<MethodResult> rows;  // "before" first
};

// Runs everything that is not yet in `directory`. `model` stays as it is; each method starts from a copy of it.
// Writes: forget_set.json, before.json, adversarial.safetensors + attack.json + attack.png, inverted.safetensors +
// inversion.json + inverted.png, importance.safetensors + importance.json,
// METHOD/{trace.jsonl,checkpoint.safetensors,weights.safetensors,dossier.json,collateral.json, result.json}, trace.png,
// results.json, results.csv.
RunResult run_unlearning(Model& model, const Dataset& train, const Dataset& test, const std::vector<int64_t>& forget,
                         const RunOptions& options, const RunDirectory& directory, Reporter& reporter);

// The comparison as text, one row per method.
std::string comparison_table(const std::vector<MethodResult>& rows);

}  // namespace lethe
