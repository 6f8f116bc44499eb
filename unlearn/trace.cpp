#include "unlearn/trace.h"

#include <cmath>
#include <sstream>

#include "data/file.h"
#include "tensor/error.h"
#include "unlearn/run_directory.h"

namespace lethe {
namespace {

Json to_json(const StepTrace& step) {
    return {{"step", step.step},
            {"forget_loss", step.forget_loss},
            {"adversarial_loss", step.adversarial_loss},
            {"penalty", step.penalty},
            {"forget_correct", step.forget_correct},
            {"mean_margin", step.mean_margin},
            {"max_margin", step.max_margin},
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
            .penalty = number("penalty"),
            .forget_correct = json.at("forget_correct"),
            .mean_margin = number("mean_margin"),
            .max_margin = number("max_margin"),
            .lr = number("lr"),
            .seconds = number("seconds")};
}

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

}  // namespace lethe
