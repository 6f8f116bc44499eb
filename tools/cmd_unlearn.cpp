#include <algorithm>
#include <iostream>

#include "data/file.h"
#include "data/split.h"
#include "tensor/error.h"
#include "tensor/parallel.h"
#include "tools/attack_options.h"
#include "tools/command.h"
#include "tools/progress.h"
#include "tools/unlearn_inputs.h"
#include "unlearn/protocol.h"
#include "unlearn/run.h"
#include "unlearn/run_manifest.h"

namespace lethe::tools {
namespace {

class UnlearnCommand : public Command {
public:
    explicit UnlearnCommand(CLI::App& root)
        : Command(root, "unlearn", "forget chosen training images and compare methods",
                  "lethe unlearn --weights runs/train/weights.safetensors --data synthetic --forget random:0:16") {
        model_options(true);
        data_options("training and test images");
        option("forget", forget,
               "D_f: torch-randperm:SEED:K, random:SEED:K, class:NAME[:K], indices:FILE or misclassified[:K]");
        option("methods", methods_text, "methods, comma-separated (lethe methods)");
        option("protocol", protocol_name,
               "preset of the compatibility switches and of optimizer, lr, weight-decay, lambda and forget-weight: "
               "recommended "
               "(their defaults below), paper or reference (sgd, 0.001, 0.0001, 1, 1)");
        option("switches", switches_text,
               "single switches on top, comma-separated, like label-fallback=on,attack-classes=10 (lethe inspect "
               "--switches)");
        option("out", out, "run directory; an existing run of the same settings is continued");
        optimizer_options();
        distill_options();
        comparison_options();
        stop_options();
        attack_options.declare([this](auto&&... arguments) { option(arguments...); });
        option("repeats", run_options.repeats, "adversarial images per image of D_f");
        option("relabel", run_options.relabel, "new labels of the relabel methods: random, second or a class name");
        option("retain-limit", run_options.retain_limit, "evaluate at most this many images of D_r; 0 = all");
        option("retain-train-limit", run_options.retain_train_limit,
               "methods that look at D_r get at most this many images of it; 0 = all");
        option("checkpoint-seconds", run_options.checkpoint_seconds, "at most this much work is lost by a kill");
    }

protected:
    int run() override;
    // What the options say, loaded. Throws Error before anything is loaded where they make no sense.
    std::unique_ptr<UnlearnInputs> load_inputs();

private:
    void resolve();
    void optimizer_options() {
        using Options = UnlearnOptions;
        run_options.unlearn = protocol_options(protocol_name);
        preset(
            "optimizer", [](Options & o) -> auto& { return o.optimizer.name; }, "sgd or adam");
        preset(
            "lr", [](Options & o) -> auto& { return o.optimizer.lr; }, "learning rate");
        preset(
            "momentum", [](Options & o) -> auto& { return o.optimizer.momentum; }, "momentum of sgd");
        preset(
            "weight-decay", [](Options & o) -> auto& { return o.optimizer.weight_decay; }, "weight decay");
        preset(
            "lambda", [](Options & o) -> auto& { return o.lambda; }, "weight of the importance penalty");
        preset(
            "forget-weight", [](Options & o) -> auto& { return o.forget_weight; },
            "weight of the forgetting loss, where the switch size-weighted-ce is off");
        preset(
            "adversarial-weight", [](Options & o) -> auto& { return o.adversarial_weight; },
            "weight of the adversarial loss, where it is off");
        option("forget-batch", run_options.unlearn.forget_batch, "images of D_f per step");
        option("adversarial-batch", run_options.unlearn.adversarial_batch, "adversarial images per step");
        flag("shuffle", run_options.unlearn.shuffle, "shuffle the adversarial images each pass");
    }
    void distill_options() {
        DistillOptions& distill = run_options.unlearn.distill;
        option("distill-weight", distill.weight, "distill methods: weight of KL on the proxies");
        option("distill-lr", distill.lr, "distill methods: learning rate of Adam");
        option("distill-margin", distill.margin, "distill methods: push an image until it is wrong by so many logits");
        option("proxies", distill.proxies, "distill methods: proxies of each of the three kinds per step");
        option("views", distill.views, "distill+views: changed copies of each image of D_f per step");
    }
    void comparison_options() {
        ComparisonOptions& compare = run_options.unlearn.compare;
        option("fixed-steps", compare.fixed_steps, "steps of finetune, bad-teacher, scrub, eu-k and cf-k");
        option("retain-batch", compare.retain_batch, "methods that look at D_r: images of it per step");
        option("beta", compare.beta, "neggrad+: weight of D_r; that of D_f is 1 - beta");
        option("salient-share", compare.salient_share, "salun: share of the weights that may move");
        option("dampening-alpha", compare.dampening_alpha,
               "ssd, lfssd: how many times as important for D_f as for D_r a dampened weight is");
        option("dampening-lambda", compare.dampening_lambda, "ssd, lfssd: factor of the ratio of the two");
        option("scrub-alpha", compare.scrub_alpha, "scrub: weight of KL on D_r");
        option("scrub-gamma", compare.scrub_gamma, "scrub: weight of the cross entropy on D_r");
        option("scrub-rounds", compare.scrub_rounds, "scrub: passes over D_f");
        option("scrub-min-steps", compare.scrub_min_steps, "scrub: steps on D_r after each of them");
        option("boundary-eps", compare.boundary_eps, "boundary: step towards the nearest boundary, per pixel");
        option("noise-alpha", compare.noise_alpha, "fisher-noise: strength of the noise");
        option("last-layers", compare.last_layers, "eu-k, cf-k: how many layers are trained");
    }
    void stop_options() {
        StopRule& stop = run_options.unlearn.stop;
        option("stop-in-a-row", stop.in_a_row, "stop when D_f is forgotten after this many steps in a row");
        option("stop-margin", stop.margin, "forgotten means wrong by at least this many logits");
        option("stop-views", stop.views, "methods with views: at most this share of changed copies still recognised");
        option("max-steps", stop.max_steps, "step budget of each method");
        option("max-seconds", stop.max_seconds, "time budget of each method in seconds; 0 = none");
    }
    // An option whose default is the protocol's: the one shown is that of the recommended protocol.
    template <class Pick>
    void preset(const std::string& name, Pick pick, const std::string& help) {
        CLI::Option* declared = option(name, pick(run_options.unlearn), help);
        presets.push_back([this, declared, pick](UnlearnOptions& defaults) {
            if (declared->count() == 0) pick(run_options.unlearn) = pick(defaults);
        });
    }
    Json switch_table() const;
    void check_inputs(const RunDirectory& directory, const Json& inputs) const;
    int report(const RunResult& result, const RunDirectory& directory);

    std::string forget = "random:0:16", methods_text = "neggrad,adv,imp,adv+imp";
    std::string protocol_name = "recommended", switches_text, out = "runs/unlearn";
    AttackOptions attack_options;
    RunOptions run_options;
    std::vector<std::function<void(UnlearnOptions&)>> presets;
};

Json UnlearnCommand::switch_table() const {
    Json table;
    for (const SwitchInfo& info : switch_list()) table[info.name] = get_switch(run_options.unlearn.switches, info.name);
    return table;
}

// A run is continued only with the very same bytes.
void UnlearnCommand::check_inputs(const RunDirectory& directory, const Json& inputs) const {
    if (!directory.has("inputs.json")) return directory.write_json("inputs.json", inputs);
    const Json before = directory.read_json("inputs.json");
    for (const auto& [key, value] : inputs.items())
        check(before.contains(key) && before.at(key) == value, "run directory ", out, " was made with another ", key,
              "; the file has changed since, give another --out");
}

void UnlearnCommand::resolve() {
    run_options.methods = split_list(methods_text);
    UnlearnOptions defaults = protocol_options(protocol_name);
    for (const auto& apply : presets) apply(defaults);
    run_options.unlearn.switches = defaults.switches;
    for (const std::string& text : split_list(switches_text)) set_switch(run_options.unlearn.switches, text);
    run_options.unlearn.optimizer.decay_all = run_options.unlearn.switches.decay_all;
    run_options.unlearn.seed = run_options.seed = seed;
    run_options.attack = attack_options.resolved(seed);
    run_options.validate();
}

std::unique_ptr<UnlearnInputs> UnlearnCommand::load_inputs() {
    resolve();
    auto loaded = std::make_unique<UnlearnInputs>();
    loaded->model = load_model();
    run_options.source_metadata = weights_metadata;
    loaded->options = run_options;
    loaded->train = load_data(Split::train, *loaded->model);
    loaded->test = load_data(Split::test, *loaded->model);
    if (run_options.unlearn.switches.utk_double_scale)
        loaded->train.pixel_scale = loaded->test.pixel_scale = 1.0f / 255.0f;
    loaded->select_forget_set = [loaded = loaded.get(), expression = forget] {
        return select_forget_set(expression, loaded->train, [&] {
            const auto twin = fold_batchnorm(*loaded->model);
            return evaluate(*twin, loaded->train, all_indices(loaded->train)).wrong;
        });
    };
    loaded->config = resolved();
    loaded->inputs = {{"weights", weights_file},
                      {"weights_sha256", weights_hash},
                      {"train_sha256", loaded->train.hash()},
                      {"test_sha256", loaded->test.hash()},
                      {"switches", switch_table()}};
    return loaded;
}

int UnlearnCommand::run() {
    const std::unique_ptr<UnlearnInputs> loaded = load_inputs();
    const Dataset& train = loaded->train;
    const std::vector<int64_t> forget_set = loaded->select_forget_set();

    const RunDirectory directory(out, "unlearn", loaded->config, free_keys());
    check_inputs(directory, loaded->inputs);
    say(concat(device_line(), "; ", forget_set.size(), " of ", train.size(), " training images to forget; protocol ",
               protocol_name));
    const Json switch_values = switch_table();
    std::string on;
    for (const auto& [name, value] : switch_values.items())
        if (value != "off" && value != "repeat" && value != "0") on += " " + name + "=" + value.get<std::string>();
    say("switches on:" + (on.empty() ? " none" : on));
    if (directory.resumed()) say("continuing " + out);

    TerminalReporter reporter(quiet);
    const RunResult result =
        run_unlearning(*loaded->model, train, loaded->test, forget_set, run_options, directory, reporter);
    write_manifest(directory, loaded->inputs);
    return report(result, directory);
}

int UnlearnCommand::report(const RunResult& result, const RunDirectory& directory) {
    say("\n" + comparison_table(result.rows));
    say("D_f: images to forget (low is the goal); D_r: other training images, D_test: test images (high is good).");
    std::string with_retained;
    for (const MethodResult& row : result.rows)
        if (row.data.ends_with("D_r")) with_retained += (with_retained.empty() ? "" : ", ") + row.method;
    if (!with_retained.empty()) say("Looked at D_r, which the others did not: " + with_retained + ".");
    say("run directory: " + directory.path().string() +
        "  (results.json, results.csv, results.png, METHOD/weights.safetensors, attack.png, trace.png)");
    write_json_option(directory.read_json("results.json"));
    int code = 0;
    for (const MethodResult& row : result.rows) {
        if (row.method == "before") continue;
        if (row.verdict == Verdict::diverged) code = exit_diverged;
        if (row.verdict == Verdict::not_forgotten && code == 0) code = exit_not_forgotten;
    }
    return code;
}

// Loads what the command would, and leaves it at that.
class InputsOfUnlearn : public UnlearnCommand {
public:
    using UnlearnCommand::UnlearnCommand;
    std::unique_ptr<UnlearnInputs> loaded;

protected:
    int run() override {
        loaded = load_inputs();
        return 0;
    }
};

}  // namespace

std::unique_ptr<UnlearnInputs> load_unlearn_inputs(const std::vector<std::string>& arguments) {
    CLI::App root;
    InputsOfUnlearn command(root);
    std::vector<std::string> all{command.app().get_name()};
    all.insert(all.end(), arguments.begin(), arguments.end());
    all = expand_config(root, all);
    std::reverse(all.begin(), all.end());  // CLI11 takes its vector from the back
    try {
        root.parse(all);
    } catch (const CLI::ParseError& error) {
        fail("config.json is none of lethe unlearn: ", error.what());
    }
    command.start();
    return std::move(command.loaded);
}

std::unique_ptr<Command> make_unlearn(CLI::App& root) { return std::make_unique<UnlearnCommand>(root); }

}  // namespace lethe::tools
