// Namings that only rename: tables of what stands at the beginning of a name and of what stands inside.
#include <utility>
#include <vector>

#include "nn/models/models.h"

namespace lethe {
namespace {

struct Renaming {
    std::vector<std::pair<std::string, std::string>> prefixes, insides;  // theirs, ours
};

std::string replaced(std::string name, std::size_t at, const std::string& old, const std::string& with) {
    return name.replace(at, old.size(), with);
}

std::string renamed(std::string name, const Renaming& table, bool to_ours) {
    for (const auto& [theirs, ours] : table.insides) {
        const std::string& from = to_ours ? theirs : ours;
        const std::size_t at = name.find(from);
        if (at == std::string::npos) continue;
        name = replaced(name, at, from, to_ours ? ours : theirs);
        break;
    }
    for (const auto& [theirs, ours] : table.prefixes) {
        const std::string& from = to_ours ? theirs : ours;
        if (name.starts_with(from)) return replaced(name, 0, from, to_ours ? ours : theirs);
    }
    return name;
}

Naming naming(const char* name, const char* marker, const Renaming& table) {
    const auto all = [table](const StateDict& state, bool to_ours) {
        StateDict result;
        for (const auto& [entry, tensor] : state) result.emplace_back(renamed(entry, table, to_ours), tensor);
        return result;
    };
    return {name, marker, [all](const StateDict& theirs) { return all(theirs, true); },
            [all](const StateDict& ours) { return all(ours, false); }};
}

}  // namespace

Naming l2ul_resnet_naming() {
    Renaming table;
    table.prefixes = {{"conv1.0.", "conv1."},  {"conv1.1.", "bn1."},    {"conv2_x.", "layer1."},
                      {"conv3_x.", "layer2."}, {"conv4_x.", "layer3."}, {"conv5_x.", "layer4."}};
    table.insides = {{".residual_function.0.", ".conv1."}, {".residual_function.1.", ".bn1."},
                     {".residual_function.3.", ".conv2."}, {".residual_function.4.", ".bn2."},
                     {".residual_function.6.", ".conv3."}, {".residual_function.7.", ".bn3."},
                     {".shortcut.", ".downsample."}};
    return naming("l2ul-cifar100", "conv2_x.0.residual_function.0.weight", table);
}

Naming huggingface_resnet_naming() {
    Renaming table;
    table.prefixes = {{"resnet.embedder.embedder.convolution.", "conv1."},
                      {"resnet.embedder.embedder.normalization.", "bn1."},
                      {"classifier.1.", "fc."}};
    for (int stage = 0; stage < 4; ++stage)
        table.prefixes.emplace_back("resnet.encoder.stages." + std::to_string(stage) + ".layers.",
                                    "layer" + std::to_string(stage + 1) + ".");
    table.insides = {{".shortcut.convolution.", ".downsample.0."}, {".shortcut.normalization.", ".downsample.1."}};
    for (int layer = 0; layer < 3; ++layer) {
        const std::string theirs = ".layer." + std::to_string(layer), ours = std::to_string(layer + 1) + ".";
        table.insides.emplace_back(theirs + ".convolution.", ".conv" + ours);
        table.insides.emplace_back(theirs + ".normalization.", ".bn" + ours);
    }
    return naming("huggingface", "resnet.embedder.embedder.convolution.weight", table);
}

Naming old_densenet_naming() {
    Renaming table;
    table.insides = {
        {".norm.1.", ".norm1."}, {".norm.2.", ".norm2."}, {".conv.1.", ".conv1."}, {".conv.2.", ".conv2."}};
    return naming("torchvision-2017", "features.denseblock1.denselayer1.norm.1.weight", table);
}

Naming old_vit_naming() {
    Renaming table;
    table.insides = {{".mlp.linear_1.", ".mlp.0."}, {".mlp.linear_2.", ".mlp.3."}};
    return naming("torchvision-2022", "encoder.layers.encoder_layer_0.mlp.linear_1.weight", table);
}

}  // namespace lethe
