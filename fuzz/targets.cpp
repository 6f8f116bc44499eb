#include "fuzz/targets.h"

#include "tensor/error.h"

namespace lethe::fuzz {

const std::vector<Target>& targets() {
    static const std::vector<Target> list{
        {"bitmap", load_image},  // BMP, PPM and PGM
        {"cifar", load_cifar},
        {"cifar_pickle", load_cifar_pickle},
        {"csv", load_csv},
        {"idx", load_idx},
        {"jpeg", load_image},
        {"model_config", load_model_config},
        {"npz", load_npz},
        {"pickle", load_pickle},
        {"png", load_png},
        {"pytorch_legacy", load_pytorch_legacy},
        {"pytorch_zip", load_pytorch_zip},
        {"safetensors", load_safetensors},
        {"shard_index", load_shard_index},
    };
    return list;
}

const Target& target(const std::string& name) {
    for (const Target& known : targets())
        if (known.name == name) return known;
    fail("fuzz: there is no target '", name, "'");
}

void require(bool holds, const std::string& property) {
    if (!holds) throw Violation(property);
}

bool accepts(const Target& target, Bytes bytes) {
    try {
        target.load(bytes);
        return true;
    } catch (const Error& error) {
        const std::string text = error.what();
        require(!text.empty() && text.find('\n') == std::string::npos, "a refusal is one sentence, not: " + text);
        return false;
    }
}

}  // namespace lethe::fuzz
