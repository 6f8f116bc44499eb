#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstdio>

#include "data/file.h"
#include "data/split.h"
#include "data/weights.h"
#include "tensor/error.h"
#include "tensor/parallel.h"
#include "tools/command.h"
#include "tools/progress.h"
#include "tools/recipes.h"
#include "tools/train_log.h"
#include "unlearn/manifest.h"
#include "unlearn/trace.h"
#include "unlearn/train.h"

namespace lethe::tools {
namespace {

constexpr const char *checkpoint_file = "checkpoint.safetensors", *best_file = "best.safetensors",
                     *weights_file_name = "weights.safetensors";

std::string recipe_help() {
    std::string text = "a list of options, which others on the command line override:";
    for (const Recipe& recipe : recipes()) text += " " + recipe.name + " (" + recipe.summary + ");";
    text.back() = '.';
    return text;
}

class TrainCommand : public Command {
public:
    explicit TrainCommand(CLI::App& root)
        : Command(root, "train", "train a classifier from its initialisation",
                  "lethe train --data synthetic --model resnet8 --epochs 15 --out runs/train") {
        option("recipe", recipe, recipe_help());
        option("model", model_name, "architecture (lethe inspect --models); default: resnet20");
        option("stem", stem, "first layers of resnet18/34/50: imagenet, cifar or cifar-maxpool");
        option("normalize", normalize,
               "input normalisation: cifar10, cifar100, imagenet, none or MEANS/STDS; default: cifar10");
        option("image-size", image_size, "side of the images after --transform; 0 = whatever that is");
        transform_option("what the data or the model usually have");
        data_options("training and test images");
        optimizer_options();
        schedule_options();
        flag("augment", options.augment,
             "the random steps of the transform or, where it has none, a random crop and flip; off: --augment=false");
        option("crop-pad", options.crop_pad, "pixels of zeros around an image before that random crop");
        option("validation", validation,
               "images evaluated after epochs: a number of training images, or a share below 1, that are held out; "
               "own, those that the dataset has; 0, the test images");
        option("exclude", exclude,
               "training images to leave out, as --forget of lethe unlearn: the model that never saw them");
        option("evaluate-every", options.evaluate_every, "epochs between evaluations; the last is always evaluated");
        option("keep", keep, "what weights.safetensors holds: the last weights or the best evaluated ones")
            ->check(CLI::IsMember({"last", "best"}));
        option("out", out, "run directory; an existing run of the same settings is continued");
        option("checkpoint-seconds", checkpoint_seconds,
               "about this much work is lost by a kill; more where writing takes long (at most a 20th of the time)");
    }

protected:
    int run() override;

private:
    void optimizer_options();
    void schedule_options();
    // What --data holds, as images of one size.
    struct Images {
        Dataset train, test;
        std::optional<Dataset> validation;  // of the dataset's own
    };
    Images load_images(const ModelSpec& spec) const;
    ModelSpec model_spec() const;
    TrainData choose_data(const Images& images) const;
    void leave_out_excluded(TrainData& data) const;
    const char* evaluated() const { return validates() ? "validation" : "test"; }
    bool validates() const { return validation != "0" && !validation.empty(); }
    void train_model(Model& model, const TrainData& data, const RunDirectory& directory);
    void end_epoch(Training& training, const EpochTrace& epoch, const RunDirectory& directory,
                   TerminalReporter& reporter);
    void write_model(const Model& model, const std::filesystem::path& path) const;
    int report(Model& model, const TrainData& data, const Dataset& test, const RunDirectory& directory);

    std::string recipe, out = "runs/train", keep = "last", validation = "0", exclude;
    double checkpoint_seconds = 5;
    TrainOptions options;
    std::map<std::string, std::string> manifest;
};

void TrainCommand::optimizer_options() {
    OptimizerSpec& optimizer = options.optimizer;
    option("epochs", options.epochs, "passes over the training images");
    option("batch-size", options.batch_size, "images per step");
    option("optimizer", optimizer.name, "sgd, adam or adamw");
    option("lr", optimizer.lr, "highest learning rate");
    option("momentum", optimizer.momentum, "momentum of sgd");
    flag("nesterov", optimizer.nesterov, "Nesterov momentum of sgd; off: --nesterov=false");
    option("beta1", optimizer.beta1, "decay of adam's mean of gradients");
    option("beta2", optimizer.beta2, "decay of adam's mean of squared gradients");
    option("weight-decay", optimizer.weight_decay, "weight decay; adamw's is decoupled from the gradient");
    flag(
        "decay-all", optimizer.decay_all,
        "weight decay on biases and normalisations too; off: --decay-all=false, parameters of one dimension have none");
    option("no-decay", optimizer.no_decay,
           "parts of the names of further parameters without weight decay, comma-separated");
    option("clip-value", optimizer.clip_value, "cut each element of the gradient to +- this; 0 = none");
    option("clip-norm", optimizer.clip_norm, "shorten the whole gradient to at most this norm; 0 = none");
    option("label-smoothing", options.label_smoothing, "share of the target spread over all classes");
    option("ema", options.ema,
           "decay of a moving average of the weights, which is then what is evaluated and kept; 0 = none");
}

void TrainCommand::schedule_options() {
    ScheduleSpec& schedule = options.schedule;
    option("schedule", schedule.name, "learning rate: constant, linear, cosine, cosine-epoch or onecycle");
    option("warmup-steps", schedule.warmup_steps, "steps of linear warm-up");
    option("t-max", schedule.t_max, "epochs of cosine-epoch's half wave; 0 = all");
    option("pct-start", schedule.pct_start, "onecycle: share of the steps in which the rate rises");
    option("div", schedule.div, "onecycle: the first rate is lr / div");
    option("final-div", schedule.final_div, "onecycle: the last rate is lr / div / final-div");
    option("base-momentum", schedule.base_momentum, "onecycle: momentum (adam: beta1) where the rate is highest");
    option("max-momentum", schedule.max_momentum, "onecycle: momentum (adam: beta1) at both ends");
}

// Without --data's images, so without their size and number of classes.
ModelSpec TrainCommand::model_spec() const {
    ModelSpec spec{
        .arch = model_name.empty() ? "resnet20" : model_name, .classes = 0, .stem = stem, .image_size = image_size};
    set_normalization(spec, normalize.empty() ? "cifar10" : normalize);
    return spec;
}

TrainCommand::Images TrainCommand::load_images(const ModelSpec& spec) const {
    Images images{load_data(Split::train, spec, true), load_data(Split::test, spec, true), {}};
    if (validation == "own") images.validation = load_data(Split::validation, spec, true);
    const Dataset &train = images.train, &test = images.test;
    check(test.height == train.height && test.width == train.width, "train: the training images are ", train.width, "x",
          train.height, ", the test images ", test.width, "x", test.height,
          "; make them one size by a --transform such as resize=", train.height, "x", train.width);
    check(image_size == 0 || (train.height == image_size && train.width == image_size), "train: --image-size is ",
          image_size, ", but the images are ", train.width, "x", train.height,
          "; make them that size by a --transform such as resize=", image_size, "x", image_size);
    return images;
}

TrainData TrainCommand::choose_data(const Images& images) const {
    const Dataset& train = images.train;
    if (images.validation) return {.train = train, .evaluation = &*images.validation};
    if (!validates()) return {.train = train, .evaluation = &images.test};
    double amount = 0;
    const auto [end, error] = std::from_chars(validation.data(), validation.data() + validation.size(), amount);
    check(error == std::errc() && end == validation.data() + validation.size() && amount > 0 &&
              (amount < 1 || amount == std::floor(amount)),
          "train: validation is ", validation, "; it must be a whole number of images, a share below 1, or own");
    const double count = amount < 1 ? std::round(amount * static_cast<double>(train.size())) : amount;
    HeldOut parts = hold_out(train.size(), static_cast<int64_t>(std::min(count, 1e15)), seed);
    return {.train = train,
            .indices = std::move(parts.train),
            .evaluation = &train,
            .evaluation_indices = std::move(parts.validation)};
}

// They are neither trained on nor held out for validation.
void TrainCommand::leave_out_excluded(TrainData& data) const {
    if (exclude.empty()) return;
    check(!exclude.starts_with("misclassified"), "train: exclude is ", exclude,
          "; there is no model yet that could misclassify images");
    std::vector<int64_t> excluded = select_forget_set(exclude, data.train);
    std::sort(excluded.begin(), excluded.end());
    const auto leave_out = [&](std::vector<int64_t>& indices) {
        std::erase_if(indices,
                      [&](int64_t index) { return std::binary_search(excluded.begin(), excluded.end(), index); });
    };
    if (data.indices.empty()) data.indices = all_indices(data.train);
    leave_out(data.indices);
    if (data.evaluation == &data.train) leave_out(data.evaluation_indices);
    check(!data.indices.empty(), "train: exclude is ", exclude, ", which leaves no image to train on");
}

// Saves checkpoints now and then: not more often than asked for, and never in more than a 20th of the time.
class Saver {
public:
    Saver(const RunDirectory& directory, double seconds) : path_(directory.file(checkpoint_file)), seconds_(seconds) {}

    void save_if_due(Training& training, TrainLog& log) {
        const double since = std::chrono::duration<double>(Clock::now() - last_).count();
        if (since < seconds_ || (seconds_ > 0 && since < 20 * cost_)) return;
        const auto start = Clock::now();
        save_train_state(path_, training.snapshot(), log.sync());
        last_ = Clock::now();
        cost_ = std::chrono::duration<double>(last_ - start).count();
    }

private:
    using Clock = std::chrono::steady_clock;
    std::filesystem::path path_;
    double seconds_, cost_ = 0;
    Clock::time_point last_ = Clock::now();
};

void TrainCommand::write_model(const Model& model, const std::filesystem::path& path) const {
    write_weights(path, model.state(), manifest);
}

void TrainCommand::end_epoch(Training& training, const EpochTrace& epoch, const RunDirectory& directory,
                             TerminalReporter& reporter) {
    // Before the checkpoint that says which epoch was the best: the file may be ahead of it, never behind.
    if (epoch.best) write_model(training.result(), directory.file(best_file));
    char text[160];
    int length = std::snprintf(text, sizeof text, "epoch %lld/%lld: loss %.3f, training %.2f %%",
                               static_cast<long long>(epoch.epoch + 1), static_cast<long long>(options.epochs),
                               epoch.loss, epoch.training.percent());
    if (epoch.evaluation)
        std::snprintf(text + length, sizeof text - static_cast<std::size_t>(length), ", %s %.2f %%%s", evaluated(),
                      epoch.evaluation->accuracy.percent(), epoch.best ? " (best)" : "");
    reporter.line(concat(text, ", ", duration(epoch.seconds)));
}

void TrainCommand::train_model(Model& model, const TrainData& data, const RunDirectory& directory) {
    Training training(model, data, options);
    std::map<std::string, std::string> numbers;
    int64_t done = 0;
    if (directory.has(checkpoint_file)) {
        const TrainState state = load_train_state(directory.file(checkpoint_file), &numbers);
        training.load(state);
        done = state.step;
        say(concat("continuing after step ", done));
    }
    TrainLog log(directory, evaluated(), numbers);
    TerminalReporter reporter(quiet);
    reporter.begin("train", training.steps(), "steps");
    reporter.progress(done, "");
    Saver saver(directory, checkpoint_seconds);
    const Schedule schedule(options.schedule, options.optimizer, options.epochs, training.steps() / options.epochs);
    while (!training.done()) {
        const TrainTrace step = training.step();
        log.add(step);
        if (step.epoch_end) {
            end_epoch(training, *step.epoch_end, directory, reporter);
            log.draw(schedule, step.steps_per_epoch, training.steps());
        }
        char detail[96];
        std::snprintf(detail, sizeof detail, "epoch %lld/%lld, loss %.3f", static_cast<long long>(step.epoch + 1),
                      static_cast<long long>(options.epochs), step.loss);
        reporter.progress(step.step, detail);
        saver.save_if_due(training, log);
    }
    reporter.end(concat(training.steps(), " steps"));
    log.sync();
    if (keep == "last") return write_model(training.result(), directory.file(weights_file_name));
    check(directory.has(best_file), "train: ", directory.file(best_file).string(),
          " is missing, so the best weights cannot be kept; give another --out and train anew");
    write_file(directory.file(weights_file_name), read_file(directory.file(best_file)));
}

// results.json: what weights.safetensors recognises, and how the epochs went.
int TrainCommand::report(Model& model, const TrainData& data, const Dataset& test, const RunDirectory& directory) {
    const auto twin = fold_batchnorm(model);
    Json results;
    const auto add = [&](const std::string& split, const Dataset& images, std::vector<int64_t> indices) {
        const Evaluation result = evaluate(*twin, images, indices.empty() ? all_indices(images) : indices);
        char line[96];
        std::snprintf(line, sizeof line, "%-10s accuracy %.2f %%  (%lld of %lld)", split.c_str(),
                      result.accuracy.percent(), static_cast<long long>(result.accuracy.correct),
                      static_cast<long long>(result.accuracy.total));
        say(line);
        results[split] = {{"accuracy", result.accuracy.percent()},
                          {"correct", result.accuracy.correct},
                          {"total", result.accuracy.total},
                          {"loss", result.loss}};
    };
    add("train", data.train, data.indices);
    if (validates()) add("validation", *data.evaluation, data.evaluation_indices);
    add("test", test, {});
    results["weights"] = keep;
    if (directory.has(best_file)) results["best"] = TrainLog::best_epoch(directory, evaluated());
    results["weights_sha256"] = sha256_file(directory.file(weights_file_name));
    directory.write_json("results.json", results);
    write_json_option(results);
    say("run directory: " + out +
        "  (weights.safetensors, best.safetensors, results.json, trace.jsonl, epochs.jsonl, "
        "curve.png)");
    return 0;
}

int TrainCommand::run() {
    options.seed = seed;
    options.validate();
    check(checkpoint_seconds >= 0, "train: checkpoint-seconds is ", checkpoint_seconds, "; it must be >= 0");
    ModelSpec spec = model_spec();
    const Images images = load_images(spec);
    const Dataset& train = images.train;
    TrainData data = choose_data(images);
    leave_out_excluded(data);
    spec.classes = train.classes();
    if (train.height == train.width) spec.image_size = train.height;
    spec.transform = train.loader ? describe(train.loader->transform()) : "none";
    Model model(spec, seed);
    Optimizer(model.net().parameters(), options.optimizer);  // bad options are found before anything is written
    model.to(device_named(device));
    const RunDirectory directory(out, "train", resolved(), free_keys());
    manifest = manifest_of(model.spec());
    manifest["lethe.trained_on"] = train.source;
    manifest["lethe.trained_on_sha256"] = train.hash();
    manifest["lethe.trained_images"] =
        concat(data.indices.empty() ? train.size() : data.indices.size(), " of ", train.size(), " of the train split");
    if (!exclude.empty()) manifest["lethe.trained_without"] = exclude;
    say(concat(device_line(), "; ", spec.arch, " on ", data.indices.empty() ? train.size() : data.indices.size(),
               " images of ", data_source));
    if (!directory.has(weights_file_name)) train_model(model, data, directory);  // it is written last
    model.load_state(read_weights(directory.file(weights_file_name)).state());
    std::filesystem::remove(directory.file(checkpoint_file));
    return report(model, data, images.test, directory);
}

}  // namespace

std::unique_ptr<Command> make_train(CLI::App& root) { return std::make_unique<TrainCommand>(root); }

}  // namespace lethe::tools
