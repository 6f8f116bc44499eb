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
#include "unlearn/pictures.h"
#include "unlearn/trace.h"

namespace lethe {
namespace {

double seconds_since(std::chrono::steady_clock::time_point start) {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// Evenly spread, so that a limited D_r still covers the whole training set.
std::vector<int64_t> at_most(const std::vector<int64_t>& indices, int64_t limit) {
    const auto size = static_cast<int64_t>(indices.size());
    if (limit <= 0 || size <= limit) return indices;
    std::vector<int64_t> chosen;
    for (int64_t i = 0; i < limit; ++i) chosen.push_back(indices[static_cast<std::size_t>(i * size / limit)]);
    return chosen;
}

Json to_json(const Evaluation& evaluation) {
    Json per_class = Json::array();
    for (const Accuracy& accuracy : evaluation.per_class) per_class.push_back({accuracy.correct, accuracy.total});
    return {{"accuracy", evaluation.accuracy.percent()},
            {"correct", evaluation.accuracy.correct},
            {"total", evaluation.accuracy.total},
            {"loss", evaluation.loss},
            {"mean_margin", evaluation.mean_margin},
            {"max_margin", evaluation.max_margin},
            {"finite", evaluation.finite},
            {"per_class", per_class},
            {"wrong", evaluation.wrong}};
}

Evaluation evaluation_from(const Json& json) {
    Evaluation evaluation;
    evaluation.accuracy = {json.at("correct"), json.at("total")};
    const auto number = [&](const char* key) {
        return json.at(key).is_null() ? std::nan("") : json.at(key).get<double>();
    };
    evaluation.loss = number("loss");  // JSON has no NaN: it is written as null
    evaluation.mean_margin = number("mean_margin");
    evaluation.max_margin = number("max_margin");
    evaluation.finite = json.at("finite");
    for (const Json& entry : json.at("per_class")) evaluation.per_class.push_back({entry.at(0), entry.at(1)});
    evaluation.wrong = json.at("wrong").get<std::vector<int64_t>>();
    return evaluation;
}

Verdict verdict_from(const std::string& text) {
    for (const Verdict verdict : {Verdict::forgotten, Verdict::not_forgotten, Verdict::diverged})
        if (text == name(verdict)) return verdict;
    fail("result file: unknown verdict '", text, "'");
}

MethodResult result_from(const Json& json) {
    MethodResult result;
    result.method = json.at("method");
    result.forget = evaluation_from(json.at("forget"));
    result.retain = evaluation_from(json.at("retain"));
    result.test = evaluation_from(json.at("test"));
    if (result.method != "before") result.verdict = verdict_from(json.at("verdict"));
    result.reason = json.at("reason");
    result.steps = json.at("steps");
    result.seconds = json.at("seconds");
    return result;
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
          retain_(at_most(complement(forget, train.size()), options.retain_limit)),
          options_(options),
          directory_(directory),
          reporter_(reporter) {
        task_.images = train.images(forget);
        for (const int64_t index : forget) task_.labels.push_back(train.labels[static_cast<std::size_t>(index)]);
    }

    RunResult execute();

private:
    void write_forget_set();
    MethodResult before();
    void evaluate_sets(Model& model, MethodResult& result);
    Evaluation evaluate_set(const std::string& phase, Model& twin, const Dataset& data,
                            const std::vector<int64_t>& indices);
    std::vector<int64_t> choose_relabels();
    void attack(RunResult& run);
    void importance(RunResult& run);
    MethodResult unlearn_with(const Method& method);
    UnlearnResult run_steps(const Method& method, Model& model, std::vector<StepTrace>& trace);
    void write_tables(const RunResult& run);

    Model& model_;
    const Dataset &train_, &test_;
    const std::vector<int64_t>& forget_;
    const std::vector<int64_t> retain_;
    const RunOptions& options_;
    const RunDirectory& directory_;
    Reporter& reporter_;
    ForgetTask task_;
    std::unique_ptr<Model> twin_;
    std::vector<std::pair<std::string, std::vector<StepTrace>>> traces_;
};

RunResult Run::execute() {
    RunResult run;
    const auto any = [&](auto&& wants) {
        return std::any_of(options_.methods.begin(), options_.methods.end(),
                           [&](const std::string& name) { return wants(find_method(name)); });
    };
    twin_ = fold_batchnorm(model_);
    write_forget_set();
    run.rows.push_back(before());
    if (any([](const Method& method) { return method.objective == Objective::relabel; }))
        task_.relabels = choose_relabels();
    if (any([](const Method& method) { return method.adversarial; })) attack(run);
    twin_.reset();  // only relabels and the attack look through it
    // What one phase asked memory for is of no use to the next.
    const auto return_memory = [&] { backend(model_.device()).trim(); };
    return_memory();
    if (any([](const Method& method) { return method.importance; })) importance(run);
    for (const std::string& name : options_.methods) {
        return_memory();
        run.rows.push_back(unlearn_with(find_method(name)));
    }
    write_trace_chart(directory_.file("trace.png"), traces_, static_cast<int64_t>(forget_.size()));
    std::vector<ResultBars> bars;
    for (const MethodResult& row : run.rows)
        bars.push_back(
            {row.method, row.forget.accuracy.percent(), row.retain.accuracy.percent(), row.test.accuracy.percent()});
    write_result_bars(directory_.file("results.png"), bars);
    write_tables(run);
    return run;
}

void Run::write_forget_set() {
    Json images = Json::array();
    for (const int64_t index : forget_) {
        const auto label = static_cast<std::size_t>(train_.labels[static_cast<std::size_t>(index)]);
        images.push_back({{"index", index},
                          {"label", label},
                          {"class", train_.class_names[label]},
                          {"sha256", sha256(train_.image_bytes(index))}});
    }
    directory_.write_json("forget_set.json", {{"data", train_.source}, {"images", images}});
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
    result.forget = evaluate(*twin, train_, forget_);
    result.retain = evaluate_set(result.method + ": D_r", *twin, train_, retain_);
    result.test = evaluate_set(result.method + ": D_test", *twin, test_, all_indices(test_));
}

MethodResult Run::before() {
    if (directory_.has("before.json")) return result_from(directory_.read_json("before.json"));
    MethodResult result;
    result.method = "before";
    result.reason = "the model as given";
    evaluate_sets(model_, result);
    if (const auto wrong = result.forget.wrong.size(); wrong > 0)
        reporter_.note(
            concat(wrong, " of the ", forget_.size(), " images are already misclassified before unlearning"));
    directory_.write_json("before.json", lethe::to_json(result));
    return result;
}

std::vector<int64_t> Run::choose_relabels() {
    const int64_t classes = model_.spec().classes;
    if (options_.relabel == "random") return draw_targets(task_.labels, 1, classes, false, options_.seed);
    std::vector<int64_t> relabels;
    if (options_.relabel == "second") {
        const Tensor logits = predict(*twin_, task_.images);
        for (int64_t i = 0; i < logits.dim(0); ++i) {
            const float* row = logits.data() + i * classes;
            int64_t best = -1;
            for (int64_t c = 0; c < classes; ++c)
                if (c != task_.labels[static_cast<std::size_t>(i)] && (best < 0 || row[c] > row[best])) best = c;
            relabels.push_back(best);
        }
        return relabels;
    }
    const auto found = std::find(train_.class_names.begin(), train_.class_names.end(), options_.relabel);
    check(found != train_.class_names.end(), "relabel: '", options_.relabel,
          "' must be random, second or the name of a class");
    return std::vector<int64_t>(task_.labels.size(), found - train_.class_names.begin());
}

void Run::attack(RunResult& run) {
    const Switches& switches = options_.unlearn.switches;
    const int64_t classes =
        switches.attack_classes > 0 ? std::min(switches.attack_classes, model_.spec().classes) : model_.spec().classes;
    const std::vector<int64_t> targets =
        draw_targets(task_.labels, options_.repeats, classes, switches.label_fallback, options_.seed);
    std::vector<int64_t> rows;  // repeat-major, as the targets
    for (int64_t repeat = 0; repeat < options_.repeats; ++repeat)
        rows.insert(rows.end(), forget_.begin(), forget_.end());
    task_.adversarial_labels = targets;

    if (directory_.has("attack.json")) {
        task_.adversarial = RowFile(directory_.file("adversarial.safetensors"));
        run.attack_seconds = directory_.read_json("attack.json").at("seconds");
        return;
    }
    const auto start = std::chrono::steady_clock::now();
    reporter_.begin("attack", static_cast<int64_t>(rows.size()), "images");
    const std::vector<PgdReport> reports =
        attack_to_file(directory_.file("adversarial.safetensors"), *twin_, task_.images, targets, options_.attack,
                       [&](int64_t done) { reporter_.progress(done, ""); });
    run.attack_seconds = seconds_since(start);
    Json report = Json::array();
    int64_t hits = 0, own_label = 0;
    for (std::size_t i = 0; i < rows.size(); ++i) {
        const PgdReport& row = reports[i];
        hits += row.success ? 1 : 0;
        own_label += targets[i] == task_.labels[i % task_.labels.size()] ? 1 : 0;
        report.push_back({{"index", rows[i]},
                          {"target", targets[i]},
                          {"predicted", row.predicted},
                          {"hit", row.success},
                          {"loss", row.loss},
                          {"margin", row.margin},
                          {"norm", row.norm},
                          {"low", row.low},
                          {"high", row.high}});
    }
    reporter_.end(concat(hits, " of ", rows.size(), " reached their target"));
    if (own_label > 0)
        reporter_.note(
            concat(own_label, " adversarial images were given their own true label (switch label-fallback)"));
    task_.adversarial = RowFile(directory_.file("adversarial.safetensors"));
    write_attack_sheet(directory_.file("attack.png"), task_.images, task_.labels, task_.adversarial, targets, reports,
                       train_.class_names);
    directory_.write_json("attack.json",
                          {{"seconds", run.attack_seconds}, {"hits", hits}, {"rows", rows.size()}, {"report", report}});
}

void Run::importance(RunResult& run) {
    if (directory_.has("importance.json")) {
        run.importance_seconds = directory_.read_json("importance.json").at("seconds");
        task_.penalty = penalty_weights(read_weights(directory_.file("importance.safetensors")).state());
        return;
    }
    const Switches& switches = options_.unlearn.switches;
    reporter_.begin("importance", 0, "");
    const auto start = std::chrono::steady_clock::now();
    const StateDict omega = mas_importance(
        model_, task_.images,
        {.form = switches.imp_batch_abs ? ImportanceOptions::Form::batch_mean : ImportanceOptions::Form::per_sample,
         .squared = !switches.imp_unsquared,
         .batch_statistics = switches.imp_train_bn,
         .keep_gradients = switches.imp_no_zero_grad && switches.imp_batch_abs,  // per sample there is nothing to keep
         .batch_size = options_.unlearn.forget_batch});
    run.importance_seconds = seconds_since(start);
    std::vector<std::string> degenerate;
    task_.penalty = penalty_weights(omega, &degenerate);
    reporter_.end(concat(omega.size(), " tensors, ", degenerate.size(), " without a scale"));
    write_safetensors(directory_.file("importance.safetensors"), omega);
    directory_.write_json("importance.json", {{"seconds", run.importance_seconds}, {"degenerate", degenerate}});
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
    result.verdict = outcome.verdict;
    result.reason = outcome.reason;
    result.steps = outcome.steps;
    result.seconds = outcome.seconds;
    evaluate_sets(*model, result);
    const bool finite = result.forget.finite && result.retain.finite && result.test.finite;
    if (!finite || collapsed(result.retain.accuracy.correct, result.retain.accuracy.total, model->spec().classes)) {
        result.verdict = Verdict::diverged;
        result.reason = finite ? "retained accuracy is near chance: the classifier collapsed" : "logits are not finite";
    }
    Metadata manifest = manifest_of(model->spec());
    manifest["lethe.unlearned"] = method.name;
    for (const auto& [key, value] : options_.source_metadata)
        if (key.starts_with("lethe.trained_") || key == "lethe.class_names") manifest[key] = value;
    write_weights(directory_.file(method.name + "/weights.safetensors"), model->state(), manifest);
    Json json = lethe::to_json(result);
    json["weights_sha256"] = sha256_file(directory_.file(method.name + "/weights.safetensors"));
    directory_.write_json(done, json);
    std::filesystem::remove(directory_.file(method.name + "/checkpoint.safetensors"));
    traces_.emplace_back(method.name, std::move(trace));
    return result;
}

void Run::write_tables(const RunResult& run) {
    Json list = Json::array();
    std::string csv = "method,D_f,D_r,D_test,verdict,steps,seconds\n";
    for (const MethodResult& row : run.rows) {
        Json entry = lethe::to_json(row);
        for (const char* set : {"forget", "retain", "test"}) entry[set].erase("wrong");
        list.push_back(entry);
        csv += concat(row.method, ",", row.forget.accuracy.percent(), ",", row.retain.accuracy.percent(), ",",
                      row.test.accuracy.percent(), ",", entry["verdict"].get<std::string>(), ",", row.steps, ",",
                      row.seconds, "\n");
    }
    write_text(directory_.file("results.csv"), csv);
    directory_.write_json("results.json", list);  // the last file: its presence says that the run is complete
}

}  // namespace

Json to_json(const MethodResult& result) {
    return {{"method", result.method},
            {"D_f", result.forget.accuracy.percent()},
            {"D_r", result.retain.accuracy.percent()},
            {"D_test", result.test.accuracy.percent()},
            {"verdict", result.method == "before" ? "before" : name(result.verdict)},
            {"steps", result.steps},
            {"seconds", result.seconds},
            {"reason", result.reason},
            {"forget", to_json(result.forget)},
            {"retain", to_json(result.retain)},
            {"test", to_json(result.test)}};
}

void RunOptions::validate() const {
    unlearn.validate();
    attack.validate();
    check(!methods.empty(), "unlearn: no method is named");
    check(repeats >= 1, "unlearn: adversarial images per image must be >= 1, got ", repeats);
    for (const std::string& method : methods) find_method(method);
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
    return Run(model, train, test, forget, options, directory, reporter).execute();
}

std::string comparison_table(const std::vector<MethodResult>& rows) {
    std::string text =
        "method            D_f              D_r                  D_test               steps   seconds  verdict\n";
    for (const MethodResult& row : rows) {
        const auto cell = [](const Accuracy& accuracy) {
            char number[48];
            std::snprintf(number, sizeof number, "%6.2f %%  %lld/%lld", accuracy.percent(),
                          static_cast<long long>(accuracy.correct), static_cast<long long>(accuracy.total));
            return std::string(number);
        };
        char line[256];
        std::snprintf(line, sizeof line, "%-16s  %-15s  %-19s  %-19s  %6lld  %8.1f  %s\n", row.method.c_str(),
                      cell(row.forget.accuracy).c_str(), cell(row.retain.accuracy).c_str(),
                      cell(row.test.accuracy).c_str(), static_cast<long long>(row.steps), row.seconds,
                      row.method == "before" ? "" : name(row.verdict));
        text += line;
    }
    return text;
}

}  // namespace lethe
