#include "data/weights.h"

#include <algorithm>

#include "data/model_folder.h"
#include "data/npz.h"
#include "data/pytorch.h"
#include "data/safetensors.h"
#include "fuzz/targets.h"

namespace lethe::fuzz {
namespace {

// What `lethe convert` writes, in both formats, holds what was read. Then what a model takes.
void check_use(const WeightFile& file) {
    const std::vector<uint8_t> safetensors = format_safetensors(file.entries, file.metadata);
    const auto [pytorch, of_safetensors, of_pytorch] = without_error("what was read can be written and read", [&] {
        std::vector<uint8_t> written = format_pytorch_zip(file.entries, file.metadata);
        const WeightFile again = parse_pytorch_zip(written);
        return std::tuple(std::move(written), parse_safetensors(safetensors), again);
    });
    for (const WeightFile& again : {of_safetensors, of_pytorch}) {
        require(entries_sha256(again.entries) == entries_sha256(file.entries), "what was written holds the same");
        require(again.metadata == file.metadata, "what was written says the same");
    }
    require(format_pytorch_zip(of_pytorch.entries, of_pytorch.metadata) == pytorch,
            "what is read and written again is the same file");
    file.state();
}

bool is_in_same_folder(const std::string& name) {
    return !name.empty() && name.find_first_of("/\\") == name.npos && name != "." && name != "..";
}

void check_settings(const Metadata& settings) {
    const auto in_range = [&](const char* key, long most) {
        if (!settings.contains(key)) return;
        const long value = std::stol(settings.at(key));
        require(value >= 1 && value <= most, std::string(key) + " is in its range");
    };
    in_range("lethe.classes", 1'000'000);
    in_range("lethe.image_size", 16384);
    require(!settings.contains("lethe.class_names") || settings.contains("lethe.classes"), "named classes are counted");
    for (const char* key : {"lethe.mean", "lethe.std"}) {
        if (!settings.contains(key)) continue;
        const std::string& text = settings.at(key);
        require(std::count(text.begin(), text.end(), ',') == 2, std::string(key) + " has a number for each channel");
    }
    require(settings.contains("lethe.mean") == settings.contains("lethe.std"), "a normalisation has both its halves");
}

}  // namespace

void load_npz(Bytes bytes) { check_use(parse_npz(bytes)); }

void load_pytorch_zip(Bytes bytes) { check_use(parse_pytorch_zip(bytes)); }

void load_pytorch_legacy(Bytes bytes) { check_use(parse_pytorch_legacy(bytes)); }

// config.json, or else preprocessor_config.json.
void load_model_config(Bytes bytes) {
    Metadata settings;
    try {
        settings = parse_model_config(bytes);
    } catch (const Error&) {
        settings = parse_preprocessor_config(bytes);
    }
    check_settings(settings);
}

void load_shard_index(Bytes bytes) {
    const auto shards = parse_shard_index(bytes);
    require(!shards.empty(), "an index lists a shard");
    for (const auto& [shard, entries] : shards)
        require(is_in_same_folder(shard) && !entries.empty(), "a shard lies beside its index and holds something");
}

}  // namespace lethe::fuzz
