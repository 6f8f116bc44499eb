#include <algorithm>
#include <cstdio>

#include "data/byte_reader.h"
#include "data/file.h"
#include "data/weights.h"
#include "nn/cost.h"
#include "tensor/error.h"
#include "tools/command.h"
#include "tools/method_list.h"
#include "unlearn/metrics/metric.h"
#include "unlearn/protocol.h"

namespace lethe::tools {
namespace {

class InspectCommand : public Command {
public:
    explicit InspectCommand(CLI::App& root)
        : Command(root, "inspect", "look into a weight file; list what there is",
                  "lethe inspect resnet20.safetensors") {
        app().add_option("file", file, "weight file or folder, as --weights of other commands")->type_name("FILE");
        flag("models", models, "list the architectures");
        flag("datasets", datasets, "list the kinds of datasets and the presets of --transform");
        flag("methods", list_methods, "list the unlearning methods, as lethe methods does");
        flag("metrics", list_metrics, "list the metrics of lethe measure");
        flag("switches", switches, "list the compatibility switches and the presets");
    }

protected:
    int run() override;

private:
    // Each adds what it prints to `json`.
    void print_models(Json& json) const;
    void print_datasets(Json& json) const;
    void print_methods(Json& json) const;
    void print_metrics(Json& json) const;
    void print_switches(Json& json) const;
    void print_file(Json& json) const;

    std::string file;
    bool models = false, datasets = false, list_methods = false, list_metrics = false, switches = false;
};

int InspectCommand::run() {
    check(!file.empty() || models || datasets || list_methods || list_metrics || switches,
          "inspect: name a weight file, or ask for --models, --datasets, --methods, --metrics or --switches");
    Json json = Json::object();
    if (models) print_models(json);
    if (datasets) print_datasets(json);
    if (list_methods) print_methods(json);
    if (list_metrics) print_metrics(json);
    if (switches) print_switches(json);
    if (!file.empty()) print_file(json);
    write_json_option(json);
    return 0;
}

std::string joined(const std::vector<std::string>& names) {
    std::string text;
    for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
    return text;
}

// 11,689,512
std::string with_commas(int64_t count) {
    std::string text = std::to_string(count);
    for (std::size_t at = text.size(); at > 3; at -= 3) text.insert(at - 3, ",");
    return text;
}

void InspectCommand::print_models(Json& json) const {
    say("model           parameters   GMACs  image  classes  architecture");
    for (const Architecture& architecture : architectures()) {
        const Cost cost = cost_of({.arch = architecture.name, .classes = architecture.classes});
        std::vector<std::string> namings;
        for (const Naming& naming : architecture.namings) namings.push_back(naming.name);
        char line[96];
        std::snprintf(line, sizeof line, "%-13s %12s %7.3f %6lld %8lld  ", architecture.name.c_str(),
                      with_commas(cost.parameters).c_str(), static_cast<double>(cost.multiply_adds) * 1e-9,
                      static_cast<long long>(architecture.image_size), static_cast<long long>(architecture.classes));
        say(concat(line, architecture.summary, "; stems: ", joined(architecture.stems),
                   namings.empty() ? "" : "; other names: ", joined(namings)));
        json["models"].push_back({{"name", architecture.name},
                                  {"summary", architecture.summary},
                                  {"parameters", cost.parameters},
                                  {"multiply_adds", cost.multiply_adds},
                                  {"image_size", architecture.image_size},
                                  {"classes", architecture.classes},
                                  {"stems", architecture.stems},
                                  {"namings", namings}});
    }
    say("Parameters and multiply-adds (GMACs, one image) at the sizes given; --stem, --image-size and --classes change "
        "them.");
}

void InspectCommand::print_methods(Json& json) const {
    for (const Method& method : methods()) {
        say(text_of(method));
        json["methods"].push_back(tools::to_json(method));
    }
}

void InspectCommand::print_metrics(Json& json) const {
    for (const Metric& metric : metrics()) {
        say(concat(metric.name, "\n  formula  ", metric.formula, "\n  good     ", metric.direction, "\n  chance   ",
                   metric.chance, "\n  source   ", metric.source));
        json["metrics"].push_back({{"name", metric.name},
                                   {"formula", metric.formula},
                                   {"good", metric.direction},
                                   {"chance", metric.chance},
                                   {"source", metric.source}});
    }
}

void InspectCommand::print_datasets(Json& json) const {
    for (const DatasetKind& kind : dataset_kinds()) {
        const std::string steps = kind.transform != nullptr ? kind.transform : "";
        say(concat(kind.usage, "\n  ", kind.description, steps.empty() ? "" : "\n  transform ", steps));
        json["datasets"].push_back({{"usage", kind.usage}, {"description", kind.description}, {"transform", steps}});
    }
    say("presets of --transform");
    for (const TransformPreset& preset : transform_presets()) {
        say(concat("  ", preset.name, " = ", preset.text, "  (", preset.models, ")"));
        json["transforms"].push_back({{"name", preset.name}, {"steps", preset.text}, {"models", preset.models}});
    }
}

void InspectCommand::print_switches(Json& json) const {
    say("switch               recommended  paper    reference");
    const Switches recommended = protocol("recommended"), paper = protocol("paper"), reference = protocol("reference");
    for (const SwitchInfo& info : switch_list()) {
        const std::string values[] = {get_switch(recommended, info.name), get_switch(paper, info.name),
                                      get_switch(reference, info.name)};
        char line[96];
        std::snprintf(line, sizeof line, "%-20s %-12s %-8s %s", info.name.c_str(), values[0].c_str(), values[1].c_str(),
                      values[2].c_str());
        say(concat(line, "\n    ", info.summary));
        json["switches"].push_back({{"name", info.name},
                                    {"summary", info.summary},
                                    {"recommended", values[0]},
                                    {"paper", values[1]},
                                    {"reference", values[2]}});
    }
}

void InspectCommand::print_file(Json& json) const {
    const WeightFile weights = read_weights(file);
    say(concat(file, ": ", weights.format, ", ", weights.entries.size(), " tensors, SHA-256 ", weights.sha256));
    Json entries = Json::array();
    int64_t elements = 0, bad = 0;
    for (const auto& [key, value] : weights.metadata) say(concat("  ", printable(key), " = ", printable(value)));
    for (const auto& [name, stored] : weights.entries) {
        const Tensor tensor = to_tensor({stored.element, {stored.numel()}, stored.bytes});  // of any rank
        double low = 0, high = 0, total = 0;
        bool finite = true;
        const auto summarise = [&](const auto& values) {
            const auto [least, most] = std::minmax_element(values.begin(), values.end());
            low = static_cast<double>(*least);
            high = static_cast<double>(*most);
            for (const auto value : values) {
                total += static_cast<double>(value);
                finite = finite && std::isfinite(static_cast<double>(value));
            }
        };
        if (tensor.numel() > 0 && tensor.dtype() == DType::float32) summarise(tensor.values());
        if (tensor.numel() > 0 && tensor.dtype() == DType::int64) summarise(tensor.int64_values());
        elements += tensor.numel();
        bad += finite ? 0 : 1;
        char line[200];
        std::snprintf(
            line, sizeof line, "  %-36s %-9s %-20s min %10.4g  mean %10.4g  max %10.4g%s", printable(name).c_str(),
            std::string(stored.element->name).c_str(), shape_text(stored.sizes).c_str(), low,
            tensor.numel() > 0 ? total / static_cast<double>(tensor.numel()) : 0, high, finite ? "" : "  NOT FINITE");
        say(line);
        entries.push_back({{"name", name},
                           {"dtype", stored.element->name},
                           {"shape", stored.sizes},
                           {"min", low},
                           {"max", high},
                           {"finite", finite}});
    }
    say(concat(elements, " values in all", bad > 0 ? concat(", ", bad, " tensors hold NaN or infinity") : ""));
    json["file"] = file;
    json["format"] = weights.format;
    json["metadata"] = weights.metadata;
    json["tensors"] = entries;
}

}  // namespace

std::unique_ptr<Command> make_inspect(CLI::App& root) { return std::make_unique<InspectCommand>(root); }

}  // namespace lethe::tools
