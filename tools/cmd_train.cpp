#include <cstdio>

#include "data/file.h"
#include "data/picture.h"
#include "data/weights.h"
#include "tensor/error.h"
#include "tensor/parallel.h"
#include "tools/command.h"
#include "tools/progress.h"
#include "unlearn/metrics.h"
#include "unlearn/train.h"

namespace lethe::tools {
namespace {

class TrainCommand : public Command {
public:
    explicit TrainCommand(CLI::App& root)
        : Command(root, "train", "train a classifier from its initialisation",
                  "lethe train --data synthetic --model resnet8 --epochs 15 --out runs/train") {
        option("model", model_name, "architecture (lethe inspect --models)");
        option("stem", stem, "first layers of resnet18/34/50: imagenet, cifar or cifar-maxpool");
        option("normalize", normalize,
               "input normalisation: cifar10, cifar100, imagenet, none or MEANS/STDS; default: cifar10");
        data_option("training and test images");
        option("epochs", train_options.epochs, "passes over the training images");
        option("batch-size", train_options.batch_size, "images per step");
        option("optimizer", train_options.optimizer.name, "sgd or adam");
        option("lr", train_options.optimizer.lr, "highest learning rate");
        option("momentum", train_options.optimizer.momentum, "momentum of sgd");
        flag("nesterov", train_options.optimizer.nesterov, "Nesterov momentum; on by default, off: --nesterov=false");
        option("weight-decay", train_options.optimizer.weight_decay, "weight decay");
        option("schedule", train_options.schedule, "cosine or constant");
        option("warmup-steps", train_options.warmup_steps, "steps of linear warm-up");
        flag("augment", train_options.augment, "random crop and flip; on by default, off: --augment=false");
        option("out", out, "run directory; an existing run of the same settings is continued");
        option("checkpoint-seconds", checkpoint_seconds, "at most this much work is lost by a kill");
    }

protected:
    int run() override;

private:
    void train_model(Model& model, const Dataset& data, const RunDirectory& directory);
    int report(Model& model, const Dataset& train_data, const Dataset& test_data, const RunDirectory& directory);

    std::string out = "runs/train";
    double checkpoint_seconds = 5;
    TrainOptions train_options;
};

std::optional<TrainState> load_state(const RunDirectory& directory) {
    if (!directory.has("checkpoint.safetensors")) return std::nullopt;
    Checkpoint checkpoint = load_checkpoint(directory.file("checkpoint.safetensors"));
    check(checkpoint.numbers.contains("step") && checkpoint.numbers.contains("seconds"),
          directory.file("checkpoint.safetensors").string(), " is not a checkpoint of a training run");
    return TrainState{.step = std::stoll(checkpoint.numbers.at("step")),
                      .seconds = std::stod(checkpoint.numbers.at("seconds")),
                      .weights = std::move(checkpoint.weights),
                      .optimizer = std::move(checkpoint.optimizer)};
}

// One JSON line per step; the lines of steps after a checkpoint are dropped when the run continues from it.
class TrainLog {
public:
    TrainLog(std::filesystem::path path, int64_t steps_done) : path_(std::move(path)) {
        if (steps_done == 0) return;
        std::istringstream in(read_text(path_));
        std::string line;
        while (static_cast<int64_t>(lines_.size()) < steps_done && std::getline(in, line)) lines_.push_back(line);
    }
    void add(const TrainTrace& step) {
        lines_.push_back(Json{
            {"step", step.step},
            {"epoch", step.epoch},
            {"loss", step.loss},
            {"lr", step.lr},
            {"correct", step.correct},
            {"total", step.total},
            {"seconds",
             step.seconds}}.dump());
    }
    void save() const {
        std::string text;
        for (const std::string& line : lines_) text += line + "\n";
        write_text(path_, text);
    }
    // Mean loss and accuracy per epoch.
    void draw(const std::filesystem::path& path) const;

private:
    std::filesystem::path path_;
    std::vector<std::string> lines_;
};

void TrainLog::draw(const std::filesystem::path& path) const {
    std::map<int64_t, std::array<double, 4>> epochs;  // loss sum, steps, correct, total
    for (const std::string& line : lines_) {
        const Json step = Json::parse(line);
        auto& sums = epochs[step.at("epoch").get<int64_t>() + 1];
        sums[0] += step.at("loss").get<double>();
        sums[1] += 1;
        sums[2] += step.at("correct").get<double>();
        sums[3] += step.at("total").get<double>();
    }
    Series loss{"training loss", {}, {}}, accuracy{"training accuracy (augmented)", {}, {}};
    for (const auto& [epoch, sums] : epochs) {
        loss.x.push_back(static_cast<double>(epoch));
        loss.y.push_back(sums[0] / sums[1]);
        accuracy.x.push_back(static_cast<double>(epoch));
        accuracy.y.push_back(100 * sums[2] / sums[3]);
    }
    write_chart(path, {{.title = "Loss", .x_label = "epoch", .y_label = "cross entropy", .series = {loss}},
                       {.title = "Accuracy", .x_label = "epoch", .y_label = "%", .series = {accuracy}}});
}

void TrainCommand::train_model(Model& model, const Dataset& data, const RunDirectory& directory) {
    const std::optional<TrainState> resume = load_state(directory);
    if (resume) say(concat("continuing after step ", resume->step));
    TrainLog log(directory.file("trace.jsonl"), resume ? resume->step : 0);
    const int64_t steps =
        train_options.epochs * ((data.size() + train_options.batch_size - 1) / train_options.batch_size);
    TerminalReporter reporter(quiet);
    reporter.begin("train", steps, "steps");
    auto last_save = std::chrono::steady_clock::now();
    train(
        model, data, train_options,
        [&](const TrainTrace& step, const std::function<TrainState()>& snapshot) {
            log.add(step);
            char detail[96];
            std::snprintf(detail, sizeof detail, "epoch %lld/%lld, loss %.3f", static_cast<long long>(step.epoch + 1),
                          static_cast<long long>(train_options.epochs), step.loss);
            reporter.progress(step.step, detail);
            const auto now = std::chrono::steady_clock::now();
            if (std::chrono::duration<double>(now - last_save).count() < checkpoint_seconds) return true;
            last_save = now;
            const TrainState state = snapshot();
            log.save();  // first: a checkpoint must never be ahead of its trace
            save_checkpoint(directory.file("checkpoint.safetensors"), state.weights, state.optimizer,
                            {{"step", std::to_string(state.step)}, {"seconds", std::to_string(state.seconds)}});
            return true;
        },
        resume);
    reporter.end(concat(steps, " steps"));
    log.save();
    log.draw(directory.file("curve.png"));
    std::map<std::string, std::string> manifest = manifest_of(model.spec());
    manifest["lethe.trained_on"] = data.source;
    manifest["lethe.trained_on_sha256"] = data.hash();
    write_safetensors(directory.file("weights.safetensors"), model.state(), manifest);
}

int TrainCommand::report(Model& model, const Dataset& train_data, const Dataset& test_data,
                         const RunDirectory& directory) {
    const auto twin = fold_batchnorm(model);
    Json results;
    for (const Dataset* data : {&train_data, &test_data}) {
        const Evaluation result = evaluate(*twin, *data, all_indices(*data));
        const char* split = data->split == Split::train ? "train" : "test";
        char line[96];
        std::snprintf(line, sizeof line, "%-5s accuracy %.2f %%  (%lld of %lld)", split, result.accuracy.percent(),
                      static_cast<long long>(result.accuracy.correct), static_cast<long long>(result.accuracy.total));
        say(line);
        results[split] = {{"accuracy", result.accuracy.percent()},
                          {"correct", result.accuracy.correct},
                          {"total", result.accuracy.total},
                          {"loss", result.loss}};
    }
    results["weights_sha256"] = sha256_file(directory.file("weights.safetensors"));
    directory.write_json("results.json", results);
    write_json_option(results);
    say("run directory: " + out + "  (weights.safetensors, results.json, trace.jsonl, curve.png)");
    return 0;
}

int TrainCommand::run() {
    train_options.seed = seed;
    train_options.validate();
    check(!data_source.empty(), "train: give --data, for example --data cifar10:DIR or --data synthetic");
    const Dataset train_data = load_dataset(data_source, Split::train),
                  test_data = load_dataset(data_source, Split::test);
    ModelSpec spec{.arch = model_name.empty() ? "resnet20" : model_name, .classes = train_data.classes(), .stem = stem};
    set_normalization(spec, normalize.empty() ? "cifar10" : normalize);
    Model model(spec, seed);
    model.to(device_named(device));
    const RunDirectory directory(out, "train", resolved(), free_keys());
    say(concat(device_line(), "; ", spec.arch, " on ", train_data.size(), " images of ", data_source));
    if (directory.has("weights.safetensors"))  // written last: training is complete
        model.load_state(read_weights(directory.file("weights.safetensors")).state());
    else
        train_model(model, train_data, directory);
    std::filesystem::remove(directory.file("checkpoint.safetensors"));
    return report(model, train_data, test_data, directory);
}

}  // namespace

std::unique_ptr<Command> make_train(CLI::App& root) { return std::make_unique<TrainCommand>(root); }

}  // namespace lethe::tools
