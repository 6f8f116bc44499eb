#include <algorithm>
#include <iostream>

#include "data/file.h"
#include "data/split.h"
#include "tensor/error.h"
#include "tensor/parallel.h"
#include "tools/progress.h"
#include "tools/unlearn_command.h"
#include "unlearn/protocol.h"
#include "unlearn/run.h"
#include "unlearn/run_manifest.h"

namespace lethe::tools {

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
        check(before.contains(key) && before.at(key) == value, "run directory ", directory.path().string(),
              " was made with another ", key, "; the file has changed since, give another --out");
}

std::string UnlearnCommand::usual_methods_text(const std::string& protocol_name, bool corrects) {
    std::string text;
    for (const std::string& name : usual_methods(protocol_name, corrects)) text += (text.empty() ? "" : ",") + name;
    return text;
}

void UnlearnCommand::resolve() {
    if (methods_text.empty()) methods_text = usual_methods_text(protocol_name, run_options.corrects());
    run_options.methods = split_list(methods_text);
    UnlearnOptions defaults = protocol_options(protocol_name);
    for (const auto& apply : presets) apply(defaults);
    run_options.unlearn.switches = defaults.switches;
    for (const std::string& text : split_list(switches_text)) set_switch(run_options.unlearn.switches, text);
    run_options.unlearn.optimizer.decay_all = run_options.unlearn.switches.decay_all;
    run_options.unlearn.seed = run_options.seed = run_options.inversion.seed = seed;
    run_options.attack = attack_options.resolved(seed);
    run_options.validate();
}

void UnlearnCommand::load_weights(UnlearnInputs& inputs) {
    inputs.model = load_model();
    inputs.inputs["weights"] = weights_file;
    inputs.inputs["weights_sha256"] = weights_hash;
    run_options.source_metadata = weights_metadata;
}

std::unique_ptr<UnlearnInputs> UnlearnCommand::load_inputs() {
    resolve();
    auto loaded = std::make_unique<UnlearnInputs>();
    load_weights(*loaded);
    loaded->train = load_data(Split::train, *loaded->model);
    loaded->test = load_data(Split::test, *loaded->model);
    if (run_options.unlearn.switches.utk_double_scale)
        loaded->train.pixel_scale = loaded->test.pixel_scale = 1.0f / 255.0f;
    run_options.forget_split = forget_split(forget);
    if (!earlier.empty()) run_options.earlier = select_forget_set(earlier, loaded->train);
    loaded->options = run_options;
    loaded->select_forget_set = [loaded = loaded.get(), expression = forget] { return loaded->select(expression); };
    loaded->config = resolved();
    loaded->inputs["train_sha256"] = loaded->train.hash();
    loaded->inputs["test_sha256"] = loaded->test.hash();
    loaded->inputs["switches"] = switch_table();
    return loaded;
}

void UnlearnCommand::say_switches() const {
    const Json switch_values = switch_table();
    std::string on;
    for (const auto& [name, value] : switch_values.items())
        if (value != "off" && value != "repeat" && value != "0") on += " " + name + "=" + value.get<std::string>();
    say("switches on:" + (on.empty() ? " none" : on));
}

RunResult UnlearnCommand::make_run(const UnlearnInputs& inputs, const std::vector<int64_t>& forget_set,
                                   const RunDirectory& directory, Reporter& reporter) {
    check_inputs(directory, inputs.inputs);
    RunResult result =
        run_unlearning(*inputs.model, inputs.train, inputs.test, forget_set, run_options, directory, reporter);
    write_manifest(directory, inputs.inputs);
    return result;
}

int UnlearnCommand::run() {
    const std::unique_ptr<UnlearnInputs> loaded = load_inputs();
    const std::vector<int64_t> forget_set = loaded->select_forget_set();

    const RunDirectory directory(out, "unlearn", loaded->config, free_keys());
    const Dataset& source = run_options.forget_split == Split::test ? loaded->test : loaded->train;
    say(concat(device_line(), "; ", forget_set.size(), " of ", source.size(),
               source.split == Split::test ? " test" : " training", " images to ",
               run_options.corrects() ? "correct" : "forget", "; protocol ", protocol_name));
    say_switches();
    if (directory.resumed()) say("continuing " + out);

    TerminalReporter reporter(quiet);
    return report(make_run(*loaded, forget_set, directory, reporter), directory);
}

int UnlearnCommand::exit_code(Verdict verdict) {
    if (verdict == Verdict::diverged) return exit_diverged;
    return verdict == Verdict::not_forgotten ? exit_not_forgotten : 0;
}

int UnlearnCommand::report(const RunResult& result, const RunDirectory& directory) {
    say("\n" + comparison_table(result.rows));
    const char* goal = run_options.corrects() ? "correct (high is the goal)" : "forget (low is the goal)";
    say(concat("D_f: images to ", goal, "; copies: mirrored, shifted, noisy, ... copies of them that are given their ",
               "true label\n(re-emergence); D_r: other training images, D_test: test images (high is good)."));
    std::string with_retained;
    for (const MethodResult& row : result.rows)
        if (row.data.ends_with("D_r")) with_retained += (with_retained.empty() ? "" : ", ") + row.method;
    if (!with_retained.empty()) say("Looked at D_r, which the others did not: " + with_retained + ".");
    say("run directory: " + directory.path().string() +
        "  (results.json, results.csv, results.png, METHOD/weights.safetensors, attack.png, trace.png)");
    write_json_option(directory.read_json("results.json"));
    int code = 0;
    for (const MethodResult& row : result.rows)
        if (row.method != "before") code = std::max(code, exit_code(row.verdict));
    return code;
}

std::vector<int64_t> UnlearnInputs::select(const std::string& expression) const {
    const Dataset& source = forget_split(expression) == Split::test ? test : train;
    return lethe::select_forget_set(expression, source, [&] {
        const auto twin = fold_batchnorm(*model);
        return evaluate(*twin, source, all_indices(source)).wrong;
    });
}

namespace {

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
