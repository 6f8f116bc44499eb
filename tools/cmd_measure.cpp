#include <algorithm>
#include <filesystem>
#include <iostream>

#include "data/file.h"
#include "data/row_file.h"
#include "data/split.h"
#include "data/weights.h"
#include "nn/cost.h"
#include "tensor/error.h"
#include "tools/command.h"
#include "tools/progress.h"
#include "unlearn/metrics/measure.h"
#include "unlearn/metrics/metric.h"

namespace lethe::tools {
namespace {

// A model to be measured.
struct Arm {
    std::string name, weights;
    bool of_run = false;  // a method of RUN
};

class MeasureCommand : public Command {
public:
    explicit MeasureCommand(CLI::App& root)
        : Command(
              root, "measure", "what is left of the forgotten images: re-emergence, membership inference, relearning",
              "lethe measure runs/unlearn\n"
              "  lethe measure --before W0.safetensors --after W1.safetensors --data synthetic --forget random:0:16") {
        app()
            .add_option("run", run_folder, "run directory of lethe unlearn: all of its methods are measured")
            ->type_name("RUN");
        model_options(false);
        app()
            .add_option("--before", weights_file, "the weights before unlearning, the same as --weights")
            ->type_name("FILE");
        option("after", after, "without RUN: weights after unlearning, comma-separated")->type_name("FILES");
        option("oracle", oracle, "weights of a model retrained without D_f, for tow and oracle-distance")
            ->type_name("FILE");
        data_options("training and test images");
        option("forget", forget, "without RUN: D_f, as lethe unlearn --forget");
        option("earlier", earlier,
               "without RUN: images forgotten before, as lethe unlearn --earlier; they are not D_r");
        option("out", out, "folder for metrics.json; default: RUN")->type_name("DIR");
        option("only", only, "metrics to compute, comma-separated: lethe inspect --metrics; default: all")
            ->type_name("NAMES");
        option("skip", skip, "metrics to leave out, comma-separated")->type_name("NAMES");
        option("limit", options.limit, "images of D_r and of D_test, evenly spread; 0 = all");
        option("sample", options.sample, "at most so many of these for features and BatchNorm's statistics; 0 = all");
        option("draws", options.views.draws, "random draws of each view, and neighbours of each image");
        option("folds", options.folds, "folds of the logistic attack");
        option("relearn-optimizer", options.relearn.optimizer.name, "sgd or adam");
        option("relearn-lr", options.relearn.optimizer.lr, "learning rate of relearning, fixed");
        option("relearn-last-layer-lr", options.last_layer_lr, "the same where only the last layer relearns");
        option("relearn-steps", options.relearn.max_steps, "most steps of relearning");
        option("relearn-batch", options.relearn.batch_size, "images of D_f per step of relearning");
    }

protected:
    int run() override;

private:
    std::vector<Arm> arms();
    void take_from_run();
    std::vector<int64_t> forgotten_by_run(const Dataset& train) const;
    Json read_run(const char* name) const;
    std::unique_ptr<Model> load_arm(const Model& before, const Arm& arm, const WeightFile& file) const;
    std::vector<int64_t> forget_set(const Model& before, const Dataset& train) const;
    bool scaled_twice() const;  // the switch utk-double-scale of the run
    void choose_metrics();
    void add_evidence(Measurement& measurement, const std::vector<int64_t>& indices) const;
    Json arm_json(Measurement& measurement, const Model& before, const Arm& arm) const;
    Json settings() const;

    std::string run_folder, after, oracle, forget, earlier, out, only, skip;
    MeasureOptions options;
};

Json MeasureCommand::read_run(const char* name) const {
    const std::filesystem::path file = std::filesystem::path(run_folder) / name;
    check(std::filesystem::exists(file), "measure: ", run_folder, " has no ", name,
          "; it must be the run directory of a lethe unlearn");
    try {
        return Json::parse(read_text(file));
    } catch (const Json::exception&) {
        fail("measure: ", file.string(), " is not valid JSON");
    }
}

// What the command line leaves open is as it was when the run was made.
void MeasureCommand::take_from_run() {
    const Json config = read_run("config.json");
    const auto take = [&](const char* key, auto& value) {
        if (app().get_option(std::string("--") + key)->count() > 0 || !config.contains(key)) return;
        value = config.at(key).get<std::decay_t<decltype(value)>>();
    };
    try {
        check(config.at("command") == "unlearn", "measure: ", run_folder, " is a run of lethe ",
              config.at("command").get<std::string>(), ", not of lethe unlearn");
        if (weights_file.empty()) weights_file = config.at("weights").get<std::string>();
        take("model", model_name);
        take("stem", stem);
        take("classes", classes);
        take("image-size", image_size);
        take("normalize", normalize);
        take("transform", transform);
        take("data", data_source);
        take("corrupt", corrupt);
        take("earlier", earlier);
    } catch (const Json::exception&) {
        fail("measure: ", run_folder, "/config.json is not the configuration of a lethe unlearn");
    }
}

std::vector<Arm> MeasureCommand::arms() {
    std::vector<Arm> list;
    if (run_folder.empty()) {
        for (const std::string& file : split_list(after)) list.push_back({file, file});
        check(!list.empty(),
              "measure: name a run directory of lethe unlearn, or give --before, --after, --data and "
              "--forget");
        return list;
    }
    check(after.empty() && forget.empty(), "measure: ", run_folder,
          " says what was forgotten and with which result; "
          "leave --after and --forget away");
    take_from_run();
    const Json config = read_run("config.json");
    for (const std::string& method :
         split_list(config.contains("methods") ? config.at("methods").get<std::string>() : "")) {
        const std::filesystem::path file = std::filesystem::path(run_folder) / method / "weights.safetensors";
        if (std::filesystem::exists(file))
            list.push_back({method, file.string(), true});
        else
            std::cerr << "lethe: warning: " << method << " has not finished and is left out\n";
    }
    check(!list.empty(), "measure: no method of ", run_folder, " has finished; continue its lethe unlearn first");
    return list;
}

// D_f of the run. The weights and the images must be those of the run, whatever has happened to the files since.
std::vector<int64_t> MeasureCommand::forgotten_by_run(const Dataset& train) const {
    std::vector<int64_t> indices;
    const Json inputs = read_run("inputs.json"), set = read_run("forget_set.json");
    try {
        check(inputs.at("weights_sha256") == weights_hash, "measure: ", weights_file, " is not the file that ",
              run_folder, " began with: it has another hash");
        check(set.at("split") == name(Split::train), "measure: ", run_folder,
              " has corrected test images; the metrics are about training images that were forgotten");
        for (const Json& image : set.at("images")) {
            const int64_t index = image.at("index");
            check(index >= 0 && index < train.size() && image.at("sha256") == sha256(train.image_bytes(index)),
                  "measure: training image ", index, " of ", data_source, " is not the one that ", run_folder,
                  " has forgotten; give the same --data");
            indices.push_back(index);
        }
    } catch (const Json::exception&) {
        fail("measure: ", run_folder, "/forget_set.json or inputs.json is not one of lethe unlearn");
    }
    return indices;
}

std::vector<int64_t> MeasureCommand::forget_set(const Model& before, const Dataset& train) const {
    if (run_folder.empty()) {
        check(!forget.empty(), "measure: give --forget, the images that --after has forgotten");
        return select_forget_set(forget, train, [&] {
            const auto twin = fold_batchnorm(before);
            return evaluate(*twin, train, all_indices(train)).wrong;
        });
    }
    return forgotten_by_run(train);
}

std::unique_ptr<Model> MeasureCommand::load_arm(const Model& before, const Arm& arm, const WeightFile& file) const {
    auto model = std::make_unique<Model>(before.spec(), std::nullopt);
    try {
        if (arm.of_run)
            restore_state(*model, file.state(), "it");  // of a method that diverged, too
        else
            model->load_state(file.state());
    } catch (const Error& error) {
        fail(arm.weights, ": ", error.what());
    }
    model->to(before.device());
    return model;
}

bool MeasureCommand::scaled_twice() const {
    const Json inputs = read_run("inputs.json");
    const auto switches = inputs.find("switches");
    return switches != inputs.end() && switches->contains("utk-double-scale") &&
           switches->at("utk-double-scale") == "on";
}

void MeasureCommand::choose_metrics() {
    check(only.empty() || skip.empty(), "measure: give --only or --skip, not both");
    options.chosen = split_list(only);
    const std::vector<std::string> left_out = split_list(skip);
    for (const std::string& name : left_out) find_metric(name);
    if (left_out.empty()) return;
    for (const Metric& metric : metrics())
        if (std::find(left_out.begin(), left_out.end(), metric.name) == left_out.end())
            options.chosen.push_back(metric.name);
    check(!options.chosen.empty(), "measure: --skip leaves no metric");
}

// What a run has beside its weights.
void MeasureCommand::add_evidence(Measurement& measurement, const std::vector<int64_t>& indices) const {
    if (run_folder.empty()) return;
    const std::filesystem::path run = run_folder;
    if (std::filesystem::exists(run / "importance.safetensors"))
        measurement.set_importance(read_weights(run / "importance.safetensors").state());
    if (!std::filesystem::exists(run / "attack.json")) return;
    std::vector<int64_t> targets;
    std::vector<bool> hits;
    try {
        const Json attack = read_run("attack.json");
        for (const Json& row : attack.at("report")) {
            check(row.at("index") == indices[targets.size() % indices.size()], "measure: ", run_folder,
                  "/attack.json is of another forget set");
            targets.push_back(row.at("target"));
            hits.push_back(row.at("hit"));
        }
    } catch (const Json::exception&) {
        fail("measure: ", run_folder, "/attack.json is not one of lethe unlearn");
    }
    measurement.set_attack(RowFile(run / "adversarial.safetensors"), targets, hits);
}

Json MeasureCommand::arm_json(Measurement& measurement, const Model& before, const Arm& arm) const {
    const WeightFile file = read_weights(arm.weights);
    Json json = measurement.measure(arm.name, *load_arm(before, arm, file));
    json["weights_sha256"] = file.sha256;
    if (!arm.of_run || !options.wants("cost")) return json;
    try {
        const Json result = read_run((arm.name + "/result.json").c_str());
        json["cost"] = {{"seconds", result.at("seconds")}, {"steps", result.at("steps")}};
    } catch (const Json::exception&) {
        fail("measure: ", run_folder, "/", arm.name, "/result.json is not one of lethe unlearn");
    }
    return json;
}

Json MeasureCommand::settings() const {
    return {{"seed", seed},
            {"limit", options.limit},
            {"sample", options.sample},
            {"draws", options.views.draws},
            {"folds", options.folds},
            {"relearn-optimizer", options.relearn.optimizer.name},
            {"relearn-lr", shortest(options.relearn.optimizer.lr)},
            {"relearn-last-layer-lr", shortest(options.last_layer_lr)},
            {"relearn-steps", options.relearn.max_steps},
            {"relearn-batch", options.relearn.batch_size},
            {"metrics", options.chosen}};
}

int MeasureCommand::run() {
    options.seed = options.views.seed = seed;
    choose_metrics();
    options.validate();
    const std::vector<Arm> list = arms();
    check(!weights_file.empty(), "measure: give --before, the weights before unlearning");
    const std::unique_ptr<Model> before = load_model();
    Dataset train = load_data(Split::train, *before), test = load_data(Split::test, *before);
    if (!run_folder.empty() && scaled_twice()) train.pixel_scale = test.pixel_scale = 1.0f / 255.0f;
    const std::vector<int64_t> indices = forget_set(*before, train);

    TerminalReporter reporter(quiet);
    reporter.begin("before", 0, "");
    if (!earlier.empty()) options.earlier = select_forget_set(earlier, train);
    Measurement measurement(*before, train, test, indices, options);
    add_evidence(measurement, indices);
    const Arm retrained{"oracle", oracle};
    if (!oracle.empty()) measurement.set_oracle(*load_arm(*before, retrained, read_weights(oracle)));
    Json results = Json::array();
    results.push_back(measurement.measure("before", *before));
    results.back()["weights_sha256"] = weights_hash;
    reporter.end("measured");
    if (!oracle.empty()) results.push_back(arm_json(measurement, *before, retrained));
    for (const Arm& arm : list) {
        reporter.begin(arm.name, 0, "");
        results.push_back(arm_json(measurement, *before, arm));
        reporter.end("measured");
    }
    const Cost cost = cost_of(before->spec());
    Json json{{"lethe", LETHE_VERSION},
              {"weights", weights_file},
              {"weights_sha256", weights_hash},
              {"data", data_source},
              {"forget", indices},
              {"settings", settings()},
              {"model", {{"parameters", cost.parameters}, {"multiply_adds", cost.multiply_adds}}},
              {"arms", results}};
    json.update(measurement.run_json());
    say("\n" + measure_table(results));
    say("What each column means, and which way is good: lethe inspect --metrics, docs/metrics.md.");
    const std::filesystem::path folder = out.empty() ? run_folder : out;
    if (!folder.empty()) {
        std::error_code error;
        std::filesystem::create_directories(folder, error);
        check(!error && std::filesystem::is_directory(folder), "measure: ", folder.string(), " cannot be created");
        write_text(folder / "metrics.json", json.dump(2) + "\n");
        const bool drawn = measurement.draw_drift(folder / "drift.png");
        say("written: " + (folder / "metrics.json").string() + (drawn ? ", drift.png" : ""));
    }
    write_json_option(json);
    return 0;
}

}  // namespace

std::unique_ptr<Command> make_measure(CLI::App& root) { return std::make_unique<MeasureCommand>(root); }

}  // namespace lethe::tools
