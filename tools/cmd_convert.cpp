#include <algorithm>
#include <set>

#include "data/byte_reader.h"
#include "data/like.h"
#include "data/weights.h"
#include "tensor/error.h"
#include "tools/command.h"
#include "unlearn/manifest.h"

namespace lethe::tools {
namespace {

StoredState without_prefix(StoredState entries) {
    const std::size_t prefix = shared_prefix(entries).size();
    for (auto& [name, tensor] : entries) name.erase(0, prefix);
    return entries;
}

class ConvertCommand : public Command {
public:
    explicit ConvertCommand(CLI::App& root)
        : Command(root, "convert", "read weights of any kind, write them as safetensors or for PyTorch",
                  "lethe convert --weights runs/unlearn/adv+imp/weights.safetensors --like resnet20.th --out new.pt") {
        model_options(true);
        option("out", out,
               "the file to write: PyTorch's where it ends in .pt, .pth, .th or .bin, safetensors where it ends in "
               ".safetensors or has no ending")
            ->type_name("FILE")
            ->required();
        option("like", like,
               "write names, order and types as this file has them, so that whoever reads it reads the new one; what "
               "only it holds is taken over")
            ->type_name("FILE");
        option("naming", naming,
               "names to write: own (torchvision's), or one of the architecture's others; default: those that the "
               "weights first came under");
    }

protected:
    int run() override;

private:
    struct Converted {
        StoredState entries;
        Metadata metadata;
    };
    Converted converted(const WeightFile& file);
    StoredState model_entries(const Model& model, const WeightFile& file);
    StoredState as_original(const StoredState& entries, const WeightFile& original, const std::string& name) const;

    std::string out, like, naming;
};

// With --like, in the names, order and types of that file, and with what only it holds.
StoredState ConvertCommand::as_original(const StoredState& entries, const WeightFile& original,
                                        const std::string& name) const {
    try {
        LikeOriginal result = like_original(entries, original.entries);
        for (const std::string& kept : result.kept) say(concat("taken over from ", name, ": ", printable(kept)));
        return std::move(result.entries);
    } catch (const Error& error) {
        fail(name, ": ", error.what());
    }
}

// The model's entries under the names that are wanted. Where those are the file's, with the file's types.
StoredState ConvertCommand::model_entries(const Model& model, const WeightFile& file) {
    if (!like.empty()) {
        const WeightFile original = read_weights(like);
        ModelSpec spec = model.spec();
        spec.naming.clear();             // the original's is wanted, not the one that the weights first came under
        Model twin(spec, std::nullopt);  // checks that it is a file of this model, and finds its names
        try {
            twin.load_state(original.state());
        } catch (const Error& error) {
            fail(like, ": ", error.what());
        }
        return as_original(to_stored(state_under(model, twin.spec().naming)), original, like);
    }
    const std::string wanted = naming == "own" ? "" : naming.empty() ? model.spec().naming : naming;
    const StoredState entries = to_stored(state_under(model, wanted));
    WeightFile own = file;
    own.entries = without_prefix(std::move(own.entries));
    std::set<std::string> names;  // namings differ in some names only
    for (const auto& [name, tensor] : entries) names.insert(name);
    const bool same_names = std::all_of(own.entries.begin(), own.entries.end(),
                                        [&](const auto& entry) { return names.contains(entry.first); });
    return same_names ? as_original(entries, own, weights_file) : entries;
}

ConvertCommand::Converted ConvertCommand::converted(const WeightFile& file) {
    check(like.empty() || naming.empty(),
          "convert: --like and --naming exclude each other, both say which names to write");
    Converted result{file.entries, file.metadata};
    if (!model_name.empty() || file.metadata.contains("lethe.arch")) {
        const std::unique_ptr<Model> model = load_model(file);  // strict: what is written is known to load
        result.entries = model_entries(*model, file);
        for (const auto& [key, value] : manifest_of(model->spec())) result.metadata[key] = value;
    } else {
        check(
            naming.empty() && stem.empty() && normalize.empty() && transform.empty() && classes == 0 && image_size == 0,
            "convert: ", weights_file,
            " does not say which architecture it is for; with --naming, --stem, --classes, --image-size, --normalize "
            "or --transform, give --model");
        if (!like.empty()) result.entries = as_original(file.entries, read_weights(like), like);
    }
    result.metadata["lethe.source_sha256"] = file.sha256;
    return result;
}

int ConvertCommand::run() {
    const WeightFile file = read_weights(weights_file);
    const Converted result = converted(file);
    write_weights(out, result.entries, result.metadata);
    int64_t elements = 0;
    for (const auto& [name, tensor] : result.entries) elements += tensor.numel();
    say(concat(weights_file, " (", file.format, ") -> ", out, ": ", result.entries.size(), " tensors, ", elements,
               " values"));
    if (!result.metadata.contains("lethe.arch"))
        say("no --model given: the file does not say which architecture it is for");
    write_json_option({{"from", weights_file},
                       {"format", file.format},
                       {"to", out},
                       {"tensors", result.entries.size()},
                       {"values", elements}});
    return 0;
}

}  // namespace

std::unique_ptr<Command> make_convert(CLI::App& root) { return std::make_unique<ConvertCommand>(root); }

}  // namespace lethe::tools
