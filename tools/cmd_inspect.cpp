#include <algorithm>
#include <cstdio>

#include "data/file.h"
#include "data/weights.h"
#include "tensor/error.h"
#include "tools/command.h"
#include "unlearn/method.h"
#include "unlearn/protocol.h"

namespace lethe::tools {
namespace {

class InspectCommand : public Command {
public:
    explicit InspectCommand(CLI::App& root)
        : Command(root, "inspect", "look into a weight file; list models, methods and switches",
                  "lethe inspect resnet20.safetensors") {
        app().add_option("file", file, "weight file: safetensors or PyTorch")->type_name("FILE");
        flag("models", models, "list the architectures");
        flag("methods", list_methods, "list the unlearning methods");
        flag("switches", switches, "list the compatibility switches and the presets");
    }

protected:
    int run() override;

private:
    void print_models() const;
    void print_methods() const;
    void print_switches() const;
    void print_file();

    std::string file;
    bool models = false, list_methods = false, switches = false;
};

int InspectCommand::run() {
    check(!file.empty() || models || list_methods || switches,
          "inspect: name a weight file, or ask for --models, --methods or --switches");
    if (models) print_models();
    if (list_methods) print_methods();
    if (switches) print_switches();
    if (!file.empty()) print_file();
    return 0;
}

void InspectCommand::print_models() const {
    for (const Architecture& architecture : architectures()) {
        std::string stems;
        for (const std::string& name : architecture.stems) stems += (stems.empty() ? "" : ", ") + name;
        say(concat(architecture.name,
                   std::string(std::max<std::size_t>(12, architecture.name.size() + 1) - architecture.name.size(), ' '),
                   architecture.summary, "; stems: ", stems));
    }
}

void InspectCommand::print_methods() const {
    for (const Method& method : methods())
        say(concat(method.name, "\n  formula  ", method.formula, "\n  needs    ", method.data, "\n  source   ",
                   method.source));
}

void InspectCommand::print_switches() const {
    say("switch               recommended  paper    reference");
    const Switches recommended = protocol("recommended"), paper = protocol("paper"), reference = protocol("reference");
    for (const SwitchInfo& info : switch_list()) {
        char line[96];
        std::snprintf(line, sizeof line, "%-20s %-12s %-8s %s", info.name.c_str(),
                      get_switch(recommended, info.name).c_str(), get_switch(paper, info.name).c_str(),
                      get_switch(reference, info.name).c_str());
        say(concat(line, "\n    ", info.summary));
    }
}

void InspectCommand::print_file() {
    const WeightFile weights = read_weights(file);
    say(concat(file, ": ", weights.format, ", ", weights.entries.size(), " tensors, SHA-256 ", sha256_file(file)));
    Json entries = Json::array();
    int64_t elements = 0, bad = 0;
    for (const auto& [key, value] : weights.metadata) say(concat("  ", key, " = ", value));
    for (const auto& [name, stored] : weights.entries) {
        const Tensor tensor = to_tensor({stored.element, {stored.numel()}, stored.bytes});  // of any rank
        double low = 0, high = 0, total = 0;
        bool finite = true;
        if (tensor.dtype() == DType::float32 && tensor.numel() > 0) {
            const auto values = tensor.values();
            const auto [least, most] = std::minmax_element(values.begin(), values.end());
            low = double{*least};
            high = double{*most};
            for (const float value : values) {
                total += double{value};
                finite = finite && std::isfinite(value);
            }
        }
        elements += tensor.numel();
        bad += finite ? 0 : 1;
        char line[200];
        std::snprintf(line, sizeof line, "  %-36s %-9s %-20s min %10.4g  mean %10.4g  max %10.4g%s", name.c_str(),
                      std::string(stored.element->name).c_str(), shape_text(stored.sizes).c_str(), low,
                      tensor.numel() > 0 ? total / static_cast<double>(tensor.numel()) : 0, high,
                      finite ? "" : "  NOT FINITE");
        say(line);
        entries.push_back({{"name", name},
                           {"dtype", stored.element->name},
                           {"shape", stored.sizes},
                           {"min", low},
                           {"max", high},
                           {"finite", finite}});
    }
    say(concat(elements, " values in all", bad > 0 ? concat(", ", bad, " tensors hold NaN or infinity") : ""));
    write_json_option(
        {{"file", file}, {"format", weights.format}, {"metadata", weights.metadata}, {"tensors", entries}});
}

}  // namespace

std::unique_ptr<Command> make_inspect(CLI::App& root) { return std::make_unique<InspectCommand>(root); }

}  // namespace lethe::tools
