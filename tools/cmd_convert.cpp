#include "data/file.h"
#include "data/weights.h"
#include "tensor/error.h"
#include "tools/command.h"

namespace lethe::tools {
namespace {

class ConvertCommand : public Command {
public:
    explicit ConvertCommand(CLI::App& root)
        : Command(
              root, "convert", "turn a PyTorch checkpoint into safetensors",
              "lethe convert --weights resnet20.th --model resnet20 --normalize imagenet --out resnet20.safetensors") {
        model_options(true);
        option("out", out, "the safetensors file to write")->type_name("FILE")->required();
    }

protected:
    int run() override;

private:
    std::string out;
};

int ConvertCommand::run() {
    const WeightFile file = read_weights(weights_file);
    std::map<std::string, std::string> metadata = file.metadata;
    StoredState state = file.entries;
    if (!model_name.empty() || spec_from_manifest(file.metadata)) {
        const std::unique_ptr<Model> model = load_model();  // strict: what is written is known to load
        state = to_stored(model->state());
        metadata.merge(manifest_of(model->spec()));
    }
    metadata["lethe.source_sha256"] = sha256_file(weights_file);
    write_safetensors(out, state, metadata);
    int64_t elements = 0;
    for (const auto& [name, tensor] : state) elements += tensor.numel();
    say(concat(weights_file, " (", file.format, ") -> ", out, ": ", state.size(), " tensors, ", elements, " values"));
    if (!metadata.contains("lethe.arch")) say("no --model given: the file does not say which architecture it is for");
    write_json_option({{"from", weights_file},
                       {"format", file.format},
                       {"to", out},
                       {"tensors", state.size()},
                       {"values", elements}});
    return 0;
}

}  // namespace

std::unique_ptr<Command> make_convert(CLI::App& root) { return std::make_unique<ConvertCommand>(root); }

}  // namespace lethe::tools
