#include "unlearn/trace.h"

#include <charconv>
#include <cmath>
#include <sstream>
#include <string_view>

#include "data/file.h"
#include "tensor/error.h"
#include "unlearn/run_directory.h"

namespace lethe {
namespace {

Json to_json(const StepTrace& step) {
    return {{"step", step.step},
            {"forget_loss", step.forget_loss},
            {"adversarial_loss", step.adversarial_loss},
            {"retain_loss", step.retain_loss},
            {"distillation", step.distillation},
            {"views", step.views},
            {"views_correct", step.views_correct},
            {"penalty", step.penalty},
            {"forget_correct", step.forget_correct},
            {"mean_margin", step.mean_margin},
            {"max_margin", step.max_margin},
            {"recognised", step.recognised},
            {"lr", step.lr},
            {"seconds", step.seconds}};
}

StepTrace step_from(const Json& json) {
    const auto number = [&](const char* key) {
        return json.at(key).is_null() ? std::nan("") : json.at(key).get<double>();
    };
    return {.step = json.at("step"),
            .forget_loss = number("forget_loss"),
            .adversarial_loss = number("adversarial_loss"),
            .retain_loss = number("retain_loss"),
            .distillation = number("distillation"),
            .views = json.at("views"),
            .views_correct = json.at("views_correct"),
            .penalty = number("penalty"),
            .forget_correct = json.at("forget_correct"),
            .mean_margin = number("mean_margin"),
            .max_margin = number("max_margin"),
            .recognised = json.at("recognised"),
            .lr = number("lr"),
            .seconds = number("seconds")};
}

// Reads back as the same double.
std::string exact(double value) {
    char text[32];
    return {text, std::to_chars(text, text + sizeof text, value).ptr};
}

// Of the averaged weights among a checkpoint's optimizer entries.
constexpr std::string_view average_prefix = "average/";

}  // namespace

void write_trace(const std::filesystem::path& path, const std::vector<StepTrace>& trace) {
    std::string text;
    for (const StepTrace& step : trace) text += to_json(step).dump() + "\n";
    write_text(path, text);
}

std::vector<StepTrace> read_trace(const std::filesystem::path& path, int64_t last_step) {
    std::istringstream lines(read_text(path));
    std::vector<StepTrace> trace;
    std::string line;
    while (std::getline(lines, line)) {
        try {
            const StepTrace step = step_from(Json::parse(line));
            if (last_step >= 0 && step.step > last_step) break;
            trace.push_back(step);
        } catch (const Json::exception&) {
            fail(path.string(), ": line ", trace.size() + 1, " is not a step of a trace");
        }
    }
    return trace;
}

void save_unlearn_state(const std::filesystem::path& path, const UnlearnState& state) {
    save_checkpoint(path, state.weights, state.optimizer,
                    {{"step", std::to_string(state.step)},
                     {"goal_in_a_row", std::to_string(state.goal_in_a_row)},
                     {"seconds", std::to_string(state.seconds)}});
}

UnlearnState load_unlearn_state(const std::filesystem::path& path) {
    Checkpoint checkpoint = load_checkpoint(path);
    try {
        return {.step = std::stoll(checkpoint.numbers.at("step")),
                .goal_in_a_row = std::stoll(checkpoint.numbers.at("goal_in_a_row")),
                .seconds = std::stod(checkpoint.numbers.at("seconds")),
                .weights = std::move(checkpoint.weights),
                .optimizer = std::move(checkpoint.optimizer)};
    } catch (const std::logic_error&) {
        fail(path.string(), " is not a checkpoint of an unlearning run: its step, goal_in_a_row or seconds is missing");
    }
}

void save_train_state(const std::filesystem::path& path, const TrainState& state,
                      std::map<std::string, std::string> numbers) {
    StateDict optimizer = state.optimizer;
    for (const auto& [name, tensor] : state.average) optimizer.emplace_back(std::string(average_prefix) + name, tensor);
    numbers["step"] = std::to_string(state.step);
    numbers["seconds"] = exact(state.seconds);
    numbers["epoch_loss"] = exact(state.epoch_loss);
    numbers["epoch_correct"] = std::to_string(state.epoch_training.correct);
    numbers["epoch_total"] = std::to_string(state.epoch_training.total);
    numbers["best_epoch"] = std::to_string(state.best_epoch);
    numbers["best_correct"] = std::to_string(state.best.accuracy.correct);
    numbers["best_total"] = std::to_string(state.best.accuracy.total);
    numbers["best_loss"] = exact(state.best.loss);
    save_checkpoint(path, state.weights, optimizer, numbers);
}

TrainState load_train_state(const std::filesystem::path& path, std::map<std::string, std::string>* numbers) {
    Checkpoint checkpoint = load_checkpoint(path);
    const auto whole = [&](const char* key) { return std::stoll(checkpoint.numbers.at(key)); };
    const auto real = [&](const char* key) { return std::stod(checkpoint.numbers.at(key)); };
    TrainState state;
    try {
        state = {.step = whole("step"),
                 .seconds = real("seconds"),
                 .epoch_loss = real("epoch_loss"),
                 .epoch_training = {whole("epoch_correct"), whole("epoch_total")},
                 .best_epoch = whole("best_epoch"),
                 .best = {{whole("best_correct"), whole("best_total")}, real("best_loss")},
                 .weights = std::move(checkpoint.weights)};
    } catch (const std::logic_error&) {
        fail(path.string(), " is not a checkpoint of a training run: one of its numbers is missing");
    }
    for (auto& [name, tensor] : checkpoint.optimizer)
        if (name.starts_with(average_prefix))
            state.average.emplace_back(name.substr(average_prefix.size()), tensor);
        else
            state.optimizer.emplace_back(name, tensor);
    if (numbers != nullptr) *numbers = std::move(checkpoint.numbers);
    return state;
}

}  // namespace lethe
