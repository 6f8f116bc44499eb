#include "unlearn/audit.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "data/file.h"
#include "data/image_file.h"
#include "data/split.h"
#include "tensor/error.h"
#include "unlearn/audit_compare.h"
#include "unlearn/audit_trace.h"
#include "unlearn/evidence.h"
#include "unlearn/metrics/reemergence.h"
#include "unlearn/run_manifest.h"
#include "unlearn/trace.h"

namespace lethe {
namespace {

using Findings = std::vector<std::string>;

// Of importance, whose scale is each tensor's own.
bool close_to(const Tensor& claimed, const Tensor& recomputed, double tolerance) {
    double largest = 0, difference = 0;
    for (std::size_t i = 0; i < recomputed.values().size(); ++i) {
        const auto a = static_cast<double>(claimed.values()[i]), b = static_cast<double>(recomputed.values()[i]);
        if (!std::isfinite(a)) return false;
        largest = std::max(largest, std::abs(b));
        difference = std::max(difference, std::abs(a - b));
    }
    return difference <= tolerance * largest;
}

class Audit {
public:
    Audit(const RunDirectory& run, const AuditSubject& subject, AuditReport& report, Reporter& reporter)
        : run_(run), subject_(subject), options_(subject.options), report_(report), reporter_(reporter) {}

    void execute();

private:
    // What a method's saved weights do with D_f, and how its run got there.
    struct Outcome {
        Evaluation goal;  // against the labels whose count is the goal
        std::vector<ImageView> views;
        std::vector<StepTrace> steps;
    };
    // Adds a check; whatever is missing or unreadable is a finding of it.
    bool ask(const std::string& name, const std::string& question, const std::function<void(Findings&)>& look);
    void compare(const std::string& file, const Json& recomputed, Findings& findings) const {
        compare_json(run_.read_json(file), recomputed, file, tolerance_, findings);
    }
    void inputs(Findings& findings);
    void configuration(Findings& findings);
    void forget_set(Findings& findings);
    void before(Findings& findings);
    void attack(Findings& findings);
    void inversion(Findings& findings);
    void importance(Findings& findings);
    void numbers(const Method& method, Findings& findings);
    void trace(const Method& method, const Outcome& outcome, AuditedMethod& audited, Findings& findings);
    void evidence(const Outcome& outcome, const MethodResult& result, Findings& findings);
    void tables(Findings& findings);
    void pictures(Findings& findings);
    void metrics(Findings& findings);
    std::vector<MethodResult> rows() const;  // recomputed, "before" first
    void evaluate_sets(Model& model, MethodResult& result);
    std::unique_ptr<Model> saved_model(const Method& method) const;
    std::vector<Criterion> criteria(const Method& method, const MethodResult& result, const Evaluation& goal,
                                    int64_t in_a_row) const;
    bool any(const std::function<bool(const Method&)>& wants) const {
        return std::any_of(options_.methods.begin(), options_.methods.end(),
                           [&](const std::string& name) { return wants(find_method(name)); });
    }

    const RunDirectory& run_;
    const AuditSubject& subject_;
    const RunOptions& options_;
    AuditReport& report_;
    Reporter& reporter_;
    double tolerance_ = 0;
    std::vector<int64_t> forget_;
    std::optional<RunSets> sets_;  // once forget_ is known
    ForgetTask task_;
    std::vector<ImageView> views_before_;  // of D_f
    std::unique_ptr<Model> twin_;          // of the weights before
};

bool Audit::ask(const std::string& name, const std::string& question, const std::function<void(Findings&)>& look) {
    AuditCheck check{name, question, {}};
    try {
        look(check.findings);
    } catch (const Json::exception& error) {
        check.findings.push_back(concat("a file of the run is not as lethe writes it (", error.what(), ")"));
    } catch (const Error& error) {
        check.findings.push_back(error.what());
    }
    report_.checks.push_back(check);
    return check.passed();
}

void Audit::execute() {
    const auto step = [this](void (Audit::*look)(Findings&)) {
        return [this, look](Findings& findings) { (this->*look)(findings); };
    };
    const bool same_inputs = ask("inputs", "the weights before, the training and the test images have the run's hashes",
                                 step(&Audit::inputs));
    ask("configuration", "config.json is complete, and inputs.json follows from it", step(&Audit::configuration));
    if (!same_inputs ||
        !ask("forget set", "forget_set.json lists the images that config.json selects, with their hashes",
             step(&Audit::forget_set)))
        return;
    twin_ = fold_batchnorm(subject_.model);
    views_before_ = views_of(predict(*twin_, task_.images), task_.labels);
    ask("before", "before.json: the weights before, evaluated again on D_f, D_r and D_test", step(&Audit::before));
    if (any([](const Method& method) { return method.objective == Objective::relabel; }))
        task_.relabels = new_labels(*twin_, sets_->source, task_, options_);
    const RunNeeds needs = needs_of(options_, subject_.model);
    if (needs.attack)
        ask("attack",
            "adversarial.safetensors lies in the box and the ball; targets, predictions, hits and norms of attack.json "
            "hold for the weights before",
            step(&Audit::attack));
    if (needs.inversion)
        ask("inversion",
            "inverted.safetensors lies in the box and is of the run's shape; the hits of inversion.json hold for the "
            "weights before",
            step(&Audit::inversion));
    twin_.reset();
    if (any([](const Method& method) { return method.importance; }))
        ask("importance", "importance.safetensors: the importance of the weights before for D_f, computed again",
            step(&Audit::importance));
    for (const std::string& name : options_.methods)
        ask(name,
            name +
                "/result.json: its saved weights, evaluated again on D_f, D_r and D_test; its dossier and collateral "
                "follow; its trace is whole, and the "
                "verdict follows from it by the stop rule",
            [&](Findings& findings) { numbers(find_method(name), findings); });
    ask("tables", "results.json and results.csv repeat the recomputed results", step(&Audit::tables));
    ask("pictures", "results.png and trace.png show the recomputed results and the traces", step(&Audit::pictures));
    if (run_.has("metrics.json"))
        ask("metrics", "metrics.json is of D_f and of the weights of this run, and counts D_f as recomputed",
            step(&Audit::metrics));
}

void Audit::inputs(Findings& findings) {
    const Json claimed = run_.read_json("inputs.json");
    if (report_.manifest.at("inputs") != claimed)
        findings.push_back(concat("inputs.json and the inputs in ", manifest_file, " differ"));
    const auto same = [&](const char* key, const std::string& what) {
        if (claimed.at(key) != subject_.inputs.at(key))
            findings.push_back(concat(what, " has SHA-256 ", subject_.inputs.at(key).get<std::string>(),
                                      ", inputs.json says ", claimed.at(key).dump()));
    };
    same("weights_sha256", "the file of the weights before");
    same("train_sha256", concat("the training set of ", subject_.train.source));
    same("test_sha256", concat("the test set of ", subject_.test.source));
}

void Audit::configuration(Findings& findings) {
    report_.environment = run_.read_json("environment.json");
    const Json here = environment(subject_.model.device());
    report_.exact = true;
    for (const char* key : {"lethe", "compiler", "processor", "backend"})
        report_.exact = report_.exact && report_.environment.at(key) == here.at(key);
    tolerance_ = report_.exact ? 0 : audit_tolerance;
    compare("config.json", subject_.config, findings);
    compare("inputs.json", subject_.inputs, findings);
}

void Audit::forget_set(Findings& findings) {
    forget_ = subject_.select_forget_set();
    check(!forget_.empty(), "config.json selects no image to forget");
    sets_.emplace(run_sets(subject_.train, subject_.test, forget_, options_));
    report_.forget_set = forget_set_json(sets_->source, forget_);
    report_.forget_set["data"] = subject_.config.at("data");  // where it was when the run was made
    compare("forget_set.json", report_.forget_set, findings);
    task_.images = sets_->source.images(forget_);
    for (const int64_t index : forget_) task_.labels.push_back(sets_->source.labels[static_cast<std::size_t>(index)]);
}

void Audit::evaluate_sets(Model& model, MethodResult& result) {
    const std::unique_ptr<Model> twin = fold_batchnorm(model);
    const auto retained = static_cast<int64_t>(sets_->retain.size());
    reporter_.begin("audit of " + result.method, retained + static_cast<int64_t>(sets_->test.size()), "images");
    result.forget = evaluate(*twin, sets_->source, forget_);
    result.retain =
        evaluate(*twin, subject_.train, sets_->retain, [&](int64_t done) { reporter_.progress(done, "D_r"); });
    result.test = evaluate(*twin, subject_.test, sets_->test,
                           [&](int64_t done) { reporter_.progress(retained + done, "D_test"); });
    if (result.forget.finite) result.reemergence = usual_reemergence(*twin, task_.images, task_.labels, forget_);
    reporter_.end(concat("D_f ", result.forget.accuracy.correct, "/", result.forget.accuracy.total, ", D_r ",
                         result.retain.accuracy.correct, "/", result.retain.accuracy.total, ", D_test ",
                         result.test.accuracy.correct, "/", result.test.accuracy.total, " correct"));
}

void Audit::before(Findings& findings) {
    report_.before.method = "before";
    report_.before.reason = "the model as given";
    evaluate_sets(subject_.model, report_.before);
    compare("before.json", to_json(report_.before), findings);
}

void Audit::attack(Findings& findings) {
    const RowFile file(run_.file("adversarial.safetensors"));
    const std::vector<int64_t> targets =
        attack_targets(labels_to_leave(views_before_, task_.labels, options_), subject_.model.spec().classes, options_);
    const auto rows = static_cast<int64_t>(targets.size()), images = task_.images.dim(0);
    check(file.shape() == task_.images.shape().with_rows(rows), "adversarial.safetensors holds ", file.shape(),
          ", the run needs ", task_.images.shape().with_rows(rows));
    // An attack of no steps that starts at them says what they are and do.
    PgdOptions look = options_.attack;
    look.steps = 0;
    // The pieces of attack_pool(): a GPU's last bits depend on the size of a batch.
    const int64_t row_bytes = static_cast<int64_t>(sizeof(float)) * task_.images.numel() / images;
    const int64_t piece = std::max<int64_t>(1, attack_piece_bytes / row_bytes);
    std::vector<PgdReport> reports;
    for (int64_t begin = 0; begin < rows; begin += piece) {
        std::vector<int64_t> numbers, sources;
        for (int64_t row = begin; row < std::min(rows, begin + piece); ++row) {
            numbers.push_back(row);
            sources.push_back(row % images);
        }
        try {
            const PgdResult result = pgd(*twin_, ImageRows(task_.images).gather(sources),
                                         std::span(targets).subspan(static_cast<std::size_t>(begin), numbers.size()),
                                         look, file.gather(numbers));
            reports.insert(reports.end(), result.report.begin(), result.report.end());
        } catch (const Error& error) {
            fail("adversarial.safetensors, rows from ", begin, ": ", error.what());
        }
    }
    const double eps = static_cast<double>(look.step.eps) * (1 + 1e-5) + 1e-6;  // projections round
    for (std::size_t row = 0; row < reports.size(); ++row)
        if (!(static_cast<double>(reports[row].norm) <= eps))
            findings.push_back(concat("adversarial.safetensors: row ", row, " is ", reports[row].norm,
                                      " from its image, outside the ball of ", look.step.eps));
    const double seconds = run_.read_json("attack.json").at("seconds");
    compare("attack.json", attack_json(forget_, targets, reports, seconds), findings);
}

// Its pixels are not made again, which would take as long as making them did: the manifest holds their hash.
void Audit::inversion(Findings& findings) {
    const RowFile file(run_.file("inverted.safetensors"));
    const Shape shape = task_.images.shape().with_rows(options_.inversion.images);
    check(file.shape() == shape, "inverted.safetensors holds ", file.shape(), ", the run needs ", shape);
    std::vector<int64_t> rows(static_cast<std::size_t>(shape[0]));
    std::iota(rows.begin(), rows.end(), 0);
    const Tensor images = file.gather(rows);
    for (const float pixel : images.values())
        check(pixel >= 0 && pixel <= 1, "inverted.safetensors: a pixel is ", pixel);
    const Json claimed = run_.read_json("inversion.json");
    const Inversion inversion{.images = images,
                              .labels = inversion_labels(shape[0], subject_.model.spec().classes),
                              .loss = claimed.at("loss"),
                              .statistics = claimed.at("statistics")};
    const int64_t hits = evaluate_logits(predict(*twin_, images), inversion.labels).accuracy.correct;
    compare("inversion.json", inversion_json(inversion, hits, claimed.at("seconds")), findings);
}

void Audit::importance(Findings& findings) {
    const StateDict saved = read_weights(run_.file("importance.safetensors")).state();
    const StateDict omega = mas_importance(subject_.model, task_.images, importance_options(options_.unlearn));
    check(saved.size() == omega.size(), "importance.safetensors has ", saved.size(), " tensors, the model ",
          omega.size(), " parameters");
    for (std::size_t i = 0; i < omega.size(); ++i) {
        const auto& [name, tensor] = saved[i];
        const Tensor recomputed = omega[i].second.cpu();
        if (name != omega[i].first || tensor.shape() != recomputed.shape() || tensor.dtype() != recomputed.dtype() ||
            !close_to(tensor, recomputed, tolerance_))
            findings.push_back(concat("importance.safetensors: ", name, " is not the importance recomputed"));
    }
    std::vector<std::string> degenerate;
    penalty_weights(omega, &degenerate);
    compare("importance.json",
            {{"seconds", run_.read_json("importance.json").at("seconds")}, {"degenerate", degenerate}}, findings);
}

std::unique_ptr<Model> Audit::saved_model(const Method& method) const {
    const std::string file = method.name + "/weights.safetensors";
    WeightFile saved = read_weights(run_.file(file));
    saved.metadata.erase(tensors_sha256_key);  // read_weights has checked it
    check(saved.metadata == unlearned_metadata(subject_.model.spec(), method.name, options_.source_metadata), file,
          ": its metadata are not those of the weights before, unlearned with ", method.name);
    std::unique_ptr<Model> model = subject_.model.clone();
    restore_state(*model, saved.state(), file);
    return model;
}

void Audit::numbers(const Method& method, Findings& findings) {
    const std::string file = method.name + "/result.json";
    const Json claimed = run_.read_json(file);
    AuditedMethod audited{.result = result_from(claimed),
                          .weights_sha256 = sha256_file(run_.file(method.name + "/weights.safetensors")),
                          .criteria = {}};
    const std::unique_ptr<Model> model = saved_model(method);
    audited.result.method = method.name;
    audited.result.data = method.data;
    evaluate_sets(*model, audited.result);
    const Tensor logits = predict(*fold_batchnorm(*model), task_.images);
    const bool relabels = method.objective == Objective::relabel;
    const Outcome outcome{.goal = relabels ? evaluate_logits(logits, task_.relabels) : audited.result.forget,
                          .views = views_of(logits, task_.labels),
                          .steps = read_trace(run_.file(method.name + "/trace.jsonl"), -1)};
    trace(method, outcome, audited, findings);
    evidence(outcome, audited.result, findings);
    Json recomputed = to_json(audited.result);
    recomputed["weights_sha256"] = audited.weights_sha256;
    compare_json(claimed, recomputed, file, tolerance_, findings);
    report_.methods.push_back(std::move(audited));
}

// Sets verdict and reason to those that follow.
void Audit::trace(const Method& method, const Outcome& outcome, AuditedMethod& audited, Findings& findings) {
    const std::string file = method.name + "/trace.jsonl";
    const MethodResult claim = audited.result;
    const bool diverged = note_divergence(audited.result, subject_.model.spec().classes);
    int64_t in_a_row = 0;
    const Ending end = ending_of_trace(outcome.steps,
                                       {.file = file,
                                        .claim = claim,
                                        .options = options_.unlearn,
                                        .relabels = method.objective == Objective::relabel,
                                        .fixed_steps = fixed_steps(method, options_.unlearn),
                                        .in_a_row = needed_in_a_row(method, options_.unlearn),
                                        .goal = outcome.goal,
                                        .recognised = recognised_set(outcome.views, task_.labels),
                                        .diverged = diverged,
                                        .tolerance = tolerance_},
                                       in_a_row, findings);
    if (!diverged) {
        audited.result.verdict = end.verdict;
        audited.result.reason = end.reason;
    }
    audited.criteria = criteria(method, audited.result, outcome.goal, in_a_row);
}

void Audit::evidence(const Outcome& outcome, const MethodResult& result, Findings& findings) {
    compare(result.method + "/dossier.json",
            dossier_json(sets_->source, forget_, views_before_, outcome.views, outcome.steps), findings);
    compare(result.method + "/collateral.json",
            collateral_json({subject_.train, report_.before.retain, result.retain},
                            {subject_.test, report_.before.test, result.test}),
            findings);
}

std::vector<Criterion> Audit::criteria(const Method& method, const MethodResult& result, const Evaluation& goal,
                                       int64_t in_a_row) const {
    const bool relabels = method.objective == Objective::relabel;
    const UnlearnOptions& unlearn = options_.unlearn;
    const bool first_zero = unlearn.switches.stop_on_first_zero;
    const int64_t needed = needed_in_a_row(method, unlearn);
    const Accuracy& seen = goal.accuracy;
    std::vector<Criterion> list{
        {relabels ? "every image of D_f has its new label" : "no image of D_f has its true label",
         concat(seen.correct, " of ", seen.total, " have it"), seen.correct == (relabels ? seen.total : 0)}};
    if (!first_zero && unlearn.stop.margin > 0)
        list.push_back({concat("by a margin of ", unlearn.stop.margin, " logits"),
                        concat("margins from ", goal.min_margin, " to ", goal.max_margin),
                        goal_met(unlearn, relabels, goal)});
    if (const int64_t fixed = fixed_steps(method, unlearn); fixed > 0)
        list.push_back({concat("after the method's ", fixed, fixed == 1 ? " step" : " steps"),
                        concat("at step ", result.steps), in_a_row > 0 && result.steps == fixed});
    else
        list.push_back({concat("after ", needed,
                               needed == 1    ? " step"
                               : method.views ? " steps that grow shorter"
                                              : " steps in a row"),
                        concat(in_a_row, method.views ? " of them" : " in a row", " at step ", result.steps),
                        in_a_row >= needed});
    const bool finite = result.forget.finite && result.retain.finite && result.test.finite;
    list.push_back({"every logit is a finite number", finite ? "all are" : "some are not", finite});
    const Accuracy& retained = result.retain.accuracy;
    list.push_back({"accuracy on D_r above 1.5 times guessing",
                    concat(retained.correct, " of ", retained.total, " correct"),
                    !collapsed(retained.correct, retained.total, subject_.model.spec().classes)});
    return list;
}

std::vector<MethodResult> Audit::rows() const {
    std::vector<MethodResult> rows{report_.before};
    for (const AuditedMethod& method : report_.methods) rows.push_back(method.result);
    return rows;
}

void Audit::tables(Findings& findings) {
    compare("results.json", results_json(rows()), findings);
    if (read_text(run_.file("results.csv")) != results_csv(rows()))
        findings.push_back("results.csv is not the table of the recomputed results");
}

// Pixels, not bytes: they do not depend on who compressed them.
void Audit::pictures(Findings& findings) {
    const TemporaryFolder scratch("lethe-audit");  // for what is drawn again
    std::vector<std::pair<std::string, std::vector<StepTrace>>> traces;
    for (const std::string& name : options_.methods)
        traces.emplace_back(name, read_trace(run_.file(name + "/trace.jsonl"), -1));
    write_result_bars(scratch.path() / "results.png", result_bars(rows()), options_.corrects());
    write_trace_chart(scratch.path() / "trace.png", traces, static_cast<int64_t>(forget_.size()));
    for (const char* name : {"results.png", "trace.png"})
        if (read_image(run_.file(name)).pixels != read_image(scratch.path() / name).pixels)
            findings.push_back(concat(name, " does not show them"));
}

// Which weights were measured, and of the numbers the one that is there anyway: measuring again takes minutes, and what
// it compares with, an oracle or other settings, may not be at hand.
void Audit::metrics(Findings& findings) {
    const Json claimed = run_.read_json("metrics.json");
    if (claimed.at("forget") != Json(forget_)) findings.push_back("metrics.json is of other images than D_f");
    const auto compare_arm = [&](const std::string& name, const std::string& hash, const MethodResult& result) {
        for (const Json& arm : claimed.at("arms")) {
            if (arm.at("arm") != name) continue;
            if (!arm.contains("weights_sha256"))
                findings.push_back("metrics.json does not say which weights of " + name +
                                   " it is of; run lethe measure again");
            else if (arm.at("weights_sha256") != hash)
                findings.push_back(concat("metrics.json is of other weights of ", name, ": their SHA-256 is ",
                                          arm.at("weights_sha256").dump(), ", these have ", hash));
            else if (!arm.at("diverged") && arm.at("D_f").at("correct") != result.forget.accuracy.correct)
                findings.push_back(concat("metrics.json: ", name, " recognises ", arm.at("D_f").at("correct").dump(),
                                          " images of D_f, recomputed ", result.forget.accuracy.correct));
        }
    };
    compare_arm("before", subject_.inputs.at("weights_sha256"), report_.before);
    for (const AuditedMethod& method : report_.methods)
        compare_arm(method.result.method, method.weights_sha256, method.result);
}

}  // namespace

bool AuditReport::accepted() const {
    return !checks.empty() &&
           std::all_of(checks.begin(), checks.end(), [](const AuditCheck& check) { return check.passed(); });
}

AuditCheck audit_files(const RunDirectory& run, AuditReport& report) {
    const AuditCheck check{"files", "every file of manifest.json is there with its hash, and no other",
                           manifest_findings(run.path(), report.manifest)};
    report.checks.push_back(check);
    return check;
}

void audit_contents(const RunDirectory& run, const AuditSubject& subject, AuditReport& report, Reporter& reporter) {
    Audit(run, subject, report, reporter).execute();
}

}  // namespace lethe
