#include "unlearn/run.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>

#include "data/file.h"
#include "data/split.h"
#include "data/weights.h"
#include "tensor/backend.h"
#include "tensor/error.h"
#include "unlearn/manifest.h"
#include "unlearn/metrics/reemergence.h"
#include "unlearn/pictures.h"
#include "unlearn/trace.h"

namespace lethe {
namespace {

double seconds_since(std::chrono::steady_clock::time_point start) {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// One call of run_unlearning().
class Run {
public:
    Run(Model& model, const Dataset& train, const Dataset& test, const std::vector<int64_t>& forget,
        const RunOptions& options, const RunDirectory& directory, Reporter& reporter)
        : model_(model),
          train_(train),
          test_(test),
          forget_(forget),
          sets_(run_sets(train, test, forget, options)),
          options_(options),
          directory_(directory),
          reporter_(reporter) {
        task_.images = sets_.source.images(forget);
        for (const int64_t index : forget) task_.labels.push_back(sets_.source.labels[static_cast<std::size_t>(index)]);
        task_.retained = {&train, sets_.retain_train};
    }

    RunResult execute();

private:
    MethodResult before();
    void write_evidence(Model& model, const MethodResult& result, const std::vector<StepTrace>& trace);
    void evaluate_sets(Model& model, MethodResult& result);
    Evaluation evaluate_set(const std::string& phase, Model& twin, const Dataset& data,
                            const std::vector<int64_t>& indices);
    void attack();
    void inversion();
    void importance();
    MethodResult unlearn_with(const Method& method);
    UnlearnResult run_steps(const Method& method, Model& model, std::vector<StepTrace>& trace);

    Model& model_;
    const Dataset &train_, &test_;
    const std::vector<int64_t>& forget_;
    const RunSets sets_;
    const RunOptions& options_;
    const RunDirectory& directory_;
    Reporter& reporter_;
    ForgetTask task_;
    MethodResult before_;
    std::vector<ImageView> views_before_;  // of D_f
    std::unique_ptr<Model> twin_;
    std::vector<std::pair<std::string, std::vector<StepTrace>>> traces_;
};

RunResult Run::execute() {
    const RunNeeds needs = needs_of(options_, model_);  // before any work, since it may refuse
    RunResult run;
    const auto any = [&](auto&& wants) {
        return std::any_of(options_.methods.begin(), options_.methods.end(),
                           [&](const std::string& name) { return wants(find_method(name)); });
    };
    twin_ = fold_batchnorm(model_);
    views_before_ = views_of(predict(*twin_, task_.images), task_.labels);
    if (any([](const Method& method) { return method.objective == Objective::relabel; }))
        task_.relabels = new_labels(*twin_, sets_.source, task_, options_);
    directory_.write_json("forget_set.json", forget_set_json(sets_.source, forget_));
    before_ = before();
    run.rows.push_back(before_);
    if (needs.attack) attack();
    if (needs.inversion) inversion();
    twin_.reset();
    // What one phase asked memory for is of no use to the next.
    const auto return_memory = [&] { backend(model_.device()).trim(); };
    return_memory();
    if (any([](const Method& method) { return method.importance; })) importance();
    for (const std::string& name : options_.methods) {
        return_memory();
        run.rows.push_back(unlearn_with(find_method(name)));
    }
    write_trace_chart(directory_.file("trace.png"), traces_, static_cast<int64_t>(forget_.size()));
    write_result_bars(directory_.file("results.png"), result_bars(run.rows), options_.corrects());
    write_text(directory_.file("results.csv"), results_csv(run.rows));
    directory_.write_json("results.json", results_json(run.rows));
    return run;
}

Evaluation Run::evaluate_set(const std::string& phase, Model& twin, const Dataset& data,
                             const std::vector<int64_t>& indices) {
    reporter_.begin(phase, static_cast<int64_t>(indices.size()), "images");
    Evaluation result = evaluate(twin, data, indices, [&](int64_t done) { reporter_.progress(done, ""); });
    reporter_.end(concat(result.accuracy.correct, " of ", result.accuracy.total, " correct"));
    return result;
}

void Run::evaluate_sets(Model& model, MethodResult& result) {
    const std::unique_ptr<Model> twin = fold_batchnorm(model);
    result.forget = evaluate(*twin, sets_.source, forget_);
    result.retain = evaluate_set(result.method + ": D_r", *twin, train_, sets_.retain);
    result.test = evaluate_set(result.method + ": D_test", *twin, test_, sets_.test);
    if (result.forget.finite) result.reemergence = usual_reemergence(*twin, task_.images, task_.labels, forget_);
}

MethodResult Run::before() {
    if (directory_.has("before.json")) return result_from(directory_.read_json("before.json"));
    MethodResult result;
    result.method = "before";
    result.reason = "the model as given";
    evaluate_sets(model_, result);
    if (const auto wrong = result.forget.wrong.size(); wrong > 0 && !options_.corrects())
        reporter_.note(
            concat(wrong, " of the ", forget_.size(), " images are already misclassified before unlearning"));
    directory_.write_json("before.json", lethe::to_json(result));
    return result;
}

void Run::attack() {
    const std::vector<int64_t> leave = labels_to_leave(views_before_, task_.labels, options_);
    const std::vector<int64_t> targets = attack_targets(leave, model_.spec().classes, options_);
    task_.adversarial_labels = targets;

    if (directory_.has("attack.json")) {
        task_.adversarial = RowFile(directory_.file("adversarial.safetensors"));
        return;
    }
    const auto start = std::chrono::steady_clock::now();
    reporter_.begin("attack", static_cast<int64_t>(targets.size()), "images");
    const std::vector<PgdReport> reports =
        attack_to_file(directory_.file("adversarial.safetensors"), *twin_, task_.images, targets, options_.attack,
                       [&](int64_t done) { reporter_.progress(done, ""); });
    const double seconds = seconds_since(start);
    int64_t own_label = 0;
    for (std::size_t i = 0; i < targets.size(); ++i) own_label += targets[i] == leave[i % leave.size()] ? 1 : 0;
    const Json report = attack_json(forget_, targets, reports, seconds);
    reporter_.end(concat(report.at("hits").get<int64_t>(), " of ", targets.size(), " reached their target"));
    if (own_label > 0)
        reporter_.note(
            concat(own_label, " adversarial images were given their own true label (switch label-fallback)"));
    task_.adversarial = RowFile(directory_.file("adversarial.safetensors"));
    write_attack_sheet(directory_.file("attack.png"), task_.images, task_.labels, task_.adversarial, targets, reports,
                       train_.class_names);
    directory_.write_json("attack.json", report);
}

void Run::inversion() {
    const std::filesystem::path file = directory_.file("inverted.safetensors");
    if (directory_.has("inversion.json")) {
        task_.inverted = RowFile(file);
        return;
    }
    const auto start = std::chrono::steady_clock::now();
    const InversionOptions& options = options_.inversion;
    reporter_.begin("inversion", options.images * options.steps, "image steps");
    const Inversion inverted =
        invert(model_, task_.images, options, [&](int64_t done) { reporter_.progress(done, ""); });
    const double seconds = seconds_since(start);
    const int64_t hits = evaluate_logits(predict(*twin_, inverted.images), inverted.labels).accuracy.correct;
    reporter_.end(concat(hits, " of ", options.images, " are what they were made to be"));
    RowFileWriter rows(file, "images", inverted.images.shape());
    rows.append(inverted.images);
    rows.commit();
    task_.inverted = RowFile(file);
    write_inverted_sheet(directory_.file("inverted.png"), inverted, train_.class_names);
    directory_.write_json("inversion.json", inversion_json(inverted, hits, seconds));
}

void Run::importance() {
    if (directory_.has("importance.json")) {
        task_.penalty = penalty_weights(read_weights(directory_.file("importance.safetensors")).state());
        return;
    }
    reporter_.begin("importance", 0, "");
    const auto start = std::chrono::steady_clock::now();
    const StateDict omega = mas_importance(model_, task_.images, importance_options(options_.unlearn));
    const double seconds = seconds_since(start);
    std::vector<std::string> degenerate;
    task_.penalty = penalty_weights(omega, &degenerate);
    reporter_.end(concat(omega.size(), " tensors, ", degenerate.size(), " without a scale"));
    write_safetensors(directory_.file("importance.safetensors"), omega);
    directory_.write_json("importance.json", {{"seconds", seconds}, {"degenerate", degenerate}});
}

UnlearnResult Run::run_steps(const Method& method, Model& model, std::vector<StepTrace>& trace) {
    const std::string checkpoint = method.name + "/checkpoint.safetensors";
    std::optional<UnlearnState> resume;
    if (directory_.has(checkpoint)) {
        resume = load_unlearn_state(directory_.file(checkpoint));
        trace = read_trace(directory_.file(method.name + "/trace.jsonl"), resume->step);
        reporter_.note(concat(method.name, ": continuing after step ", resume->step));
    }
    auto last_save = std::chrono::steady_clock::now();
    return unlearn(
        model, method, task_, options_.unlearn,
        [&](const StepTrace& step, const std::function<UnlearnState()>& snapshot) {
            trace.push_back(step);
            reporter_.progress(step.step, concat(method.objective == Objective::relabel ? "relabelled " : "D_f ",
                                                 step.forget_correct, "/", forget_.size()));
            if (seconds_since(last_save) < options_.checkpoint_seconds) return true;
            // The trace first: a checkpoint must never be ahead of it.
            write_trace(directory_.file(method.name + "/trace.jsonl"), trace);
            save_unlearn_state(directory_.file(checkpoint), snapshot());
            last_save = std::chrono::steady_clock::now();
            return true;
        },
        resume);
}

void Run::write_evidence(Model& model, const MethodResult& result, const std::vector<StepTrace>& trace) {
    const std::vector<ImageView> after = views_of(predict(*fold_batchnorm(model), task_.images), task_.labels);
    directory_.write_json(result.method + "/dossier.json",
                          dossier_json(sets_.source, forget_, views_before_, after, trace));
    directory_.write_json(result.method + "/collateral.json",
                          collateral_json({train_, before_.retain, result.retain}, {test_, before_.test, result.test}));
}

MethodResult Run::unlearn_with(const Method& method) {
    const std::string done = method.name + "/result.json";
    const std::filesystem::path trace_file = directory_.file(method.name + "/trace.jsonl");
    if (directory_.has(done)) {
        traces_.emplace_back(method.name, read_trace(trace_file, -1));
        return result_from(directory_.read_json(done));
    }
    std::filesystem::create_directories(directory_.file(method.name));
    const std::unique_ptr<Model> model = model_.clone();
    std::vector<StepTrace> trace;
    reporter_.begin(method.name, 0, "steps");
    const UnlearnResult outcome = run_steps(method, *model, trace);
    reporter_.end(concat(name(outcome.verdict), " after ", outcome.steps, " steps: ", outcome.reason));
    write_trace(trace_file, trace);

    MethodResult result;
    result.method = method.name;
    result.data = method.data;
    result.verdict = outcome.verdict;
    result.reason = outcome.reason;
    result.steps = outcome.steps;
    result.seconds = outcome.seconds;
    evaluate_sets(*model, result);
    note_divergence(result, model->spec().classes);
    write_evidence(*model, result, trace);
    write_weights(directory_.file(method.name + "/weights.safetensors"), model->state(),
                  unlearned_metadata(model->spec(), method.name, options_.source_metadata));
    Json json = lethe::to_json(result);
    json["weights_sha256"] = sha256_file(directory_.file(method.name + "/weights.safetensors"));
    directory_.write_json(done, json);
    std::filesystem::remove(directory_.file(method.name + "/checkpoint.safetensors"));
    traces_.emplace_back(method.name, std::move(trace));
    return result;
}

}  // namespace

RunNeeds needs_of(const RunOptions& options, const Model& model) {
    RunNeeds needs;
    for (const std::string& name : options.methods) {
        const Method& method = find_method(name);
        const ProxySources sources =
            method.distillation ? proxy_sources(options.unlearn.distill, model) : ProxySources();
        needs.inversion = needs.inversion || sources.inversion;
        needs.attack = needs.attack || method.adversarial || sources.attack;
    }
    return needs;
}

RunSets run_sets(const Dataset& train, const Dataset& test, const std::vector<int64_t>& forget,
                 const RunOptions& options) {
    const bool of_test = options.forget_split == Split::test;
    std::vector<int64_t> not_retained = options.earlier;
    if (!of_test) not_retained.insert(not_retained.end(), forget.begin(), forget.end());
    const std::vector<int64_t> retained = complement(not_retained, train.size());
    return {.source = of_test ? test : train,
            .retain = evenly_spread(retained, options.retain_limit),
            .retain_train = evenly_spread(retained, options.retain_train_limit),
            .test = of_test ? complement(forget, test.size()) : all_indices(test)};
}

std::vector<int64_t> labels_to_leave(const std::vector<ImageView>& before, const std::vector<int64_t>& labels,
                                     const RunOptions& options) {
    if (!options.corrects()) return labels;
    std::vector<int64_t> given;
    for (const ImageView& view : before) given.push_back(view.predicted);
    return given;
}

std::vector<int64_t> attack_targets(const std::vector<int64_t>& leave, int64_t classes, const RunOptions& options) {
    const Switches& switches = options.unlearn.switches;
    return draw_targets(leave, options.repeats,
                        switches.attack_classes > 0 ? std::min(switches.attack_classes, classes) : classes,
                        switches.label_fallback, options.seed);
}

namespace {

// The class with the largest logit but the label's, for each row of logits [N,C].
std::vector<int64_t> runners_up(const Tensor& logits, const std::vector<int64_t>& labels) {
    std::vector<int64_t> second;
    for (int64_t i = 0; i < logits.dim(0); ++i) {
        const float* row = logits.data() + i * logits.dim(1);
        int64_t best = -1;
        for (int64_t c = 0; c < logits.dim(1); ++c)
            if (c != labels[static_cast<std::size_t>(i)] && (best < 0 || row[c] > row[best])) best = c;
        second.push_back(best);
    }
    return second;
}

}  // namespace

std::vector<int64_t> new_labels(Model& twin, const Dataset& source, const ForgetTask& task, const RunOptions& options) {
    if (options.relabel == "random") return draw_targets(task.labels, 1, twin.spec().classes, false, options.seed);
    if (options.relabel == "second") return runners_up(predict(twin, task.images), task.labels);
    const auto class_of = [&](std::size_t i) { return source.class_names[static_cast<std::size_t>(task.labels[i])]; };
    if (options.corrects()) {
        const std::vector<ImageView> views = views_of(predict(twin, task.images), task.labels);
        for (std::size_t i = 0; i < views.size(); ++i)
            check(views[i].predicted != task.labels[i], "relabel: image ", i,
                  " of the forget set is given its true label ", class_of(i),
                  " already; true corrects misclassified images, such as --forget misclassified:SEED:K or "
                  "test:misclassified:SEED:K");
        return task.labels;
    }
    const auto found = std::find(source.class_names.begin(), source.class_names.end(), options.relabel);
    check(found != source.class_names.end(), "relabel: '", options.relabel,
          "' must be random, second, true or the name of a class");
    const int64_t label = found - source.class_names.begin();
    for (std::size_t i = 0; i < task.labels.size(); ++i)
        check(task.labels[i] != label, "relabel: image ", i, " of the forget set has its true label ", class_of(i),
              " as its new label");
    return std::vector<int64_t>(task.labels.size(), label);
}

ImportanceOptions importance_options(const UnlearnOptions& options) {
    const Switches& switches = options.switches;
    return {.form = switches.imp_batch_abs ? ImportanceOptions::Form::batch_mean : ImportanceOptions::Form::per_sample,
            .squared = !switches.imp_unsquared,
            .batch_statistics = switches.imp_train_bn,
            .keep_gradients = switches.imp_no_zero_grad && switches.imp_batch_abs,  // per sample nothing is to be kept
            .batch_size = options.forget_batch};
}

Metadata unlearned_metadata(const ModelSpec& spec, const std::string& method, const Metadata& source) {
    Metadata manifest = manifest_of(spec);
    manifest["lethe.unlearned"] = method;
    for (const auto& [key, value] : source)
        if (key.starts_with("lethe.trained_") || key == "lethe.class_names") manifest[key] = value;
    return manifest;
}

bool note_divergence(MethodResult& result, int64_t classes) {
    const bool finite = result.forget.finite && result.retain.finite && result.test.finite;
    if (finite && !collapsed(result.retain.accuracy.correct, result.retain.accuracy.total, classes)) return false;
    result.verdict = Verdict::diverged;
    result.reason = finite ? "retained accuracy is near chance: the classifier collapsed" : "logits are not finite";
    return true;
}

void RunOptions::validate() const {
    unlearn.validate();
    attack.validate();
    check(!methods.empty(), "unlearn: no method is named");
    check(retain_train_limit >= 0, "unlearn: retain_train_limit is ", retain_train_limit, "; it must be >= 0, 0 = all");
    inversion.validate();
    check(repeats >= 1, "unlearn: adversarial images per image must be >= 1, got ", repeats);
    for (const std::string& method : methods)
        check(find_method(method).objective == Objective::relabel || !corrects(),
              "unlearn: relabel true corrects images, "
              "method ",
              method, " forgets them; name relabel methods only");
    check(unlearn.switches.imp_batch_abs || !unlearn.switches.imp_train_bn,
          "unlearn: switch imp-train-bn needs imp-batch-abs: one image at a time has no batch statistics");
}

std::vector<PgdReport> attack_to_file(const std::filesystem::path& path, Model& twin, const Tensor& images,
                                      std::span<const int64_t> labels, const PgdOptions& options,
                                      const std::function<void(int64_t)>& progress) {
    RowFileWriter file(path, "images", images.shape().with_rows(static_cast<int64_t>(labels.size())));
    std::vector<PgdReport> reports = attack_pool(
        twin, images, labels, options, [&](const Tensor& rows) { file.append(rows); }, progress);
    file.commit();
    return reports;
}

RunResult run_unlearning(Model& model, const Dataset& train, const Dataset& test, const std::vector<int64_t>& forget,
                         const RunOptions& options, const RunDirectory& directory, Reporter& reporter) {
    options.validate();
    check(!forget.empty(), "unlearn: the forget set is empty");
    for (const Dataset* data : {&train, &test})
        check(data->classes() == model.spec().classes, "unlearn: ", data->source, " has ", data->classes(),
              " classes, the model ", model.spec().classes);
    for (const std::string& name : options.methods)
        check(!find_method(name).needs_retained() || static_cast<int64_t>(forget.size()) < train.size(),
              "unlearn: method ", name, " looks at D_r, and every training image is to be forgotten");
    return Run(model, train, test, forget, options, directory, reporter).execute();
}

std::string comparison_table(const std::vector<MethodResult>& rows) {
    std::string text =
        "method            D_f              copies    D_r                  D_test               steps   seconds  "
        "verdict\n";
    for (const MethodResult& row : rows) {
        const auto cell = [](const Accuracy& accuracy) {
            char number[48];
            std::snprintf(number, sizeof number, "%6.2f %%  %lld/%lld", accuracy.percent(),
                          static_cast<long long>(accuracy.correct), static_cast<long long>(accuracy.total));
            return std::string(number);
        };
        char copies[16] = "-", line[256];
        if (!std::isnan(row.reemergence)) std::snprintf(copies, sizeof copies, "%6.2f %%", row.reemergence);
        std::snprintf(line, sizeof line, "%-16s  %-15s  %-8s  %-19s  %-19s  %6lld  %8.1f  %s\n", row.method.c_str(),
                      cell(row.forget.accuracy).c_str(), copies, cell(row.retain.accuracy).c_str(),
                      cell(row.test.accuracy).c_str(), static_cast<long long>(row.steps), row.seconds,
                      row.method == "before" ? "" : name(row.verdict));
        text += line;
    }
    return text;
}

}  // namespace lethe
