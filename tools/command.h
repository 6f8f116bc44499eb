// What every `lethe` command shares: options with a resolved configuration, common flags, loading, printing.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "data/weights.h"
#include "nn/model.h"
#include "unlearn/run_directory.h"

namespace lethe::tools {

// Exit codes. 0 is success.
inline constexpr int exit_error = 1;          // one sentence on standard error says what is wrong
inline constexpr int exit_usage = 2;          // the command line itself
inline constexpr int exit_not_forgotten = 3;  // a method ended its budget with D_f still recognised
inline constexpr int exit_diverged = 4;       // a method destroyed the model
inline constexpr int exit_refused = 5;        // an audit found something that does not hold

// The double that prints as the float does: 0.1, not 0.10000000149011612.
double shortest(float value);

// One subcommand: its options, remembered so that the resolved configuration can be saved and given back by --config.
class Command {
public:
    Command(CLI::App& app, const std::string& name, const std::string& summary, const std::string& example);
    virtual ~Command() = default;
    Command(const Command&) = delete;
    Command& operator=(const Command&) = delete;

    CLI::App& app() { return *app_; }
    const CLI::App& app() const { return *app_; }
    // Applies --threads, --device and --precision, then calls run().
    virtual int start();

protected:
    virtual int run() = 0;

    // --name VALUE; shown with its default. The last of several wins, so a command line overrides a --config.
    template <class T>
    CLI::Option* option(const std::string& name, T& value, const std::string& help) {
        resolved_.emplace_back(name, [&value] { return to_json_value(value); });
        return app_->add_option("--" + name, value, help)->capture_default_str()->take_last();
    }
    // --name, or "name": true in a configuration file.
    CLI::Option* flag(const std::string& name, bool& value, const std::string& help);

    // --name VALUE, as often as there are values; a list in a configuration file, to which the command line adds.
    CLI::Option* list_option(const std::string& name, std::vector<std::string>& values, const std::string& help);

    void model_options(bool required);
    void transform_option(const std::string& fallback);  // what the help says is taken without it
    void data_options(const std::string& help);
    Json resolved() const;
    // Keys that change no result: a run may be continued with others, and be moved.
    static const std::vector<std::string>& free_keys();

    // --weights with its manifest, or --model; checks that they agree. On the device.
    std::unique_ptr<Model> load_model();
    std::unique_ptr<Model> load_model(const WeightFile& file);  // --weights, read already
    // A split of --data as images for `spec`: --transform, else spec.transform, else what the dataset needs, else, for
    // files and a model of ImageNet's size, the usual crop of that size; random where a model is trained. Says on
    // standard error which images --corrupt skip leaves out.
    Dataset load_data(Split split, const ModelSpec& spec, bool training = false) const;
    // The same for a model that must have as many classes as the dataset.
    Dataset load_data(Split split, const Model& model) const;
    // Prints unless --quiet.
    void say(const std::string& text) const;
    // Writes `value` to --json when that was given.
    void write_json_option(const Json& value) const;

    // "device cpu, 2 threads", for the first line of long commands.
    std::string device_line() const;

    std::string device = "auto", precision = "strict";  // device: after start(), where it computes
    int threads = 0;
    uint64_t seed = 0;
    std::string json_file;
    bool quiet = false;
    std::string model_name, weights_file, normalize, data_source;
    std::string stem, transform, corrupt = "fail";
    int64_t classes = 0, image_size = 0, cache_mib = 1024;
    Metadata weights_metadata;  // of --weights, after load_model()
    std::string weights_hash;   // likewise: WeightFile::sha256

private:
    void choose_device();
    Transform usual_transform(const ModelSpec& spec, bool training) const;  // how files become the model's input

    template <class T>
    static Json to_json_value(const T& value) {
        if constexpr (std::is_same_v<T, float>)
            return shortest(value);
        else
            return Json(value);
    }

    CLI::App* app_;
    std::vector<std::pair<std::string, std::function<Json()>>> resolved_;
    std::string config_file_;  // declared for --help; main() has expanded it before parsing
};

// argv with a `--config FILE` replaced by the options that the JSON file holds, placed before the others so that the
// command line wins. Throws Error for an unreadable file or a key that the command does not know, naming the known
// ones.
std::vector<std::string> expand_config(CLI::App& root, const std::vector<std::string>& arguments);

// "a,b,c" -> {"a","b","c"}; empty items are dropped.
std::vector<std::string> split_list(const std::string& text);

std::unique_ptr<Command> make_train(CLI::App& root);
std::unique_ptr<Command> make_eval(CLI::App& root);
std::unique_ptr<Command> make_attack(CLI::App& root);
std::unique_ptr<Command> make_importance(CLI::App& root);
std::unique_ptr<Command> make_unlearn(CLI::App& root);
std::unique_ptr<Command> make_continual(CLI::App& root);
std::unique_ptr<Command> make_audit(CLI::App& root);
std::unique_ptr<Command> make_experiment(CLI::App& root);
std::unique_ptr<Command> make_measure(CLI::App& root);
std::unique_ptr<Command> make_methods(CLI::App& root);
std::unique_ptr<Command> make_report(CLI::App& root);
std::unique_ptr<Command> make_inspect(CLI::App& root);
std::unique_ptr<Command> make_convert(CLI::App& root);

}  // namespace lethe::tools
