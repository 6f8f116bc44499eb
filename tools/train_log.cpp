#include "tools/train_log.h"

#include <algorithm>
#include <charconv>
#include <sstream>

#include "data/picture.h"
#include "tensor/error.h"

namespace lethe::tools {
namespace {

constexpr const char* epochs_name = "epochs.jsonl";
constexpr const char *steps_bytes = "trace_bytes", *epochs_bytes = "epochs_bytes";

uint64_t bytes_of(const std::map<std::string, std::string>& resume, const char* key) {
    if (resume.empty()) return 0;
    const auto found = resume.find(key);
    check(found != resume.end(), "train: the checkpoint does not say how long its traces are (", key, ")");
    uint64_t bytes = 0;
    const char* end = found->second.data() + found->second.size();
    const auto [stop, error] = std::from_chars(found->second.data(), end, bytes);
    check(error == std::errc{} && stop == end, "train: the checkpoint's ", key, " is not a number");
    return bytes;
}

Json to_json(const TrainTrace& step) {
    Json json{{"step", step.step}, {"epoch", step.epoch + 1}, {"loss", step.loss},
              {"lr", step.lr},     {"correct", step.correct}, {"total", step.total}};
    if (step.gradient_norm > 0) json["gradient_norm"] = step.gradient_norm;
    json["seconds"] = step.seconds;
    return json;
}

Json to_json(const EpochTrace& epoch, const std::string& evaluated) {
    Json json{{"epoch", epoch.epoch + 1},
              {"train_loss", epoch.loss},
              {"train_accuracy", epoch.training.percent()},
              {"lr", epoch.lr},
              {"seconds", epoch.seconds}};
    if (epoch.evaluation) {
        json[evaluated + "_loss"] = epoch.evaluation->loss;
        json[evaluated + "_accuracy"] = epoch.evaluation->accuracy.percent();
        json["best"] = epoch.best;
    }
    return json;
}

// The epochs that have `key`.
Series series(const std::vector<Json>& epochs, const std::string& name, const std::string& key) {
    Series result{name, {}, {}};
    for (const Json& epoch : epochs) {
        if (!epoch.contains(key) || epoch.at(key).is_null()) continue;
        result.x.push_back(epoch.at("epoch").get<double>());
        result.y.push_back(epoch.at(key).get<double>());
    }
    return result;
}

std::vector<Json> read_lines(const std::filesystem::path& path) {
    std::vector<Json> all;
    std::istringstream lines(read_text(path));
    for (std::string line; std::getline(lines, line);) {
        try {
            all.push_back(Json::parse(line));
        } catch (const Json::exception&) {
            fail(path.string(), ": line ", all.size() + 1, " is not JSON");
        }
    }
    return all;
}

std::vector<Series> without_empty(std::vector<Series> all) {
    std::erase_if(all, [](const Series& one) { return one.x.empty(); });
    return all;
}

}  // namespace

TrainLog::TrainLog(const RunDirectory& directory, const std::string& evaluated,
                   const std::map<std::string, std::string>& resume)
    : picture_(directory.file("curve.png")),
      evaluated_(evaluated),
      steps_file_(directory.file("trace.jsonl"), bytes_of(resume, steps_bytes)),
      epochs_file_(directory.file(epochs_name), bytes_of(resume, epochs_bytes)) {
    epochs_ = read_lines(directory.file(epochs_name));
}

void TrainLog::add(const TrainTrace& step) {
    steps_file_.add(to_json(step).dump());
    if (!step.epoch_end) return;
    epochs_.push_back(to_json(*step.epoch_end, evaluated_));
    epochs_file_.add(epochs_.back().dump());
}

std::map<std::string, std::string> TrainLog::sync() {
    return {{steps_bytes, std::to_string(steps_file_.sync())}, {epochs_bytes, std::to_string(epochs_file_.sync())}};
}

Json TrainLog::best_epoch(const RunDirectory& directory, const std::string& evaluated) {
    Json best;
    for (const Json& epoch : read_lines(directory.file(epochs_name)))
        if (epoch.value("best", false))
            best = {{"epoch", epoch.at("epoch")},
                    {"chosen_by", evaluated},
                    {"accuracy", epoch.at(evaluated + "_accuracy")},
                    {"loss", epoch.at(evaluated + "_loss")}};
    return best;
}

void TrainLog::draw(const Schedule& schedule, int64_t steps_per_epoch, int64_t steps) const {
    Series rate{"learning rate", {}, {}};
    const int64_t stride = std::max<int64_t>(1, steps / 1000);
    for (int64_t step = 0; step < steps; step += stride) {
        rate.x.push_back(static_cast<double>(step) / static_cast<double>(steps_per_epoch));
        rate.y.push_back(schedule.at(step).lr);
    }
    const auto panel = [&](const char* title, const char* label, const std::string& key) {
        return Chart{.title = title,
                     .x_label = "epoch",
                     .y_label = label,
                     .series = without_empty({series(epochs_, "training, augmented", "train_" + key),
                                              series(epochs_, evaluated_, evaluated_ + "_" + key)})};
    };
    write_chart(picture_, {panel("Loss", "cross entropy", "loss"),
                           panel("Accuracy", "%", "accuracy"),
                           {.title = "Learning rate", .x_label = "epoch", .y_label = "lr", .series = {rate}}});
}

}  // namespace lethe::tools
