// Folders as Hugging Face lays them out: weights in one file or in shards, settings in JSON beside them.
// Layouts: https://huggingface.co/docs/transformers ("Big models", "Auto image processor") and timm's config.json.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "data/weights.h"

namespace lethe {

// The weights of `folder`: model.safetensors, pytorch_model.bin, or the shards that model.safetensors.index.json or
// pytorch_model.bin.index.json lists; the first of these that is there. (weights.safetensors of a run of Lethe, too.)
// Where there are shards, the entries are in the order of the shards. config.json and preprocessor_config.json, where
// they are, become metadata. Throws Error naming the file: none of these, a shard that is missing or
// not a plain name in the folder, an entry that a shard lacks, that two shards hold, or that the index does not list, a
// config.json with another number of classes than the weights' manifest.
WeightFile read_model_folder(const std::filesystem::path& folder);

// An index: entries by the shard that holds them. Throws Error, which does not name the file, for anything but
// {"weight_map": {"entry": "shard", ...}, ...} with shards that are plain file names.
std::map<std::string, std::vector<std::string>> parse_shard_index(std::span<const uint8_t> text);

// What config.json says of the settings that a manifest has (docs/weights.md): lethe.arch (timm's "architecture"),
// lethe.classes ("num_classes", or the number of names in "id2label"), lethe.class_names (a JSON list),
// lethe.image_size, and of timm's "pretrained_cfg" the normalisation; "model_type" becomes huggingface.model_type.
// preprocessor_config.json: lethe.mean, lethe.std, lethe.image_size. What is absent is left out. Throw Error, which
// does not name the file, for what is there and makes no sense.
Metadata parse_model_config(std::span<const uint8_t> text);
Metadata parse_preprocessor_config(std::span<const uint8_t> text);

}  // namespace lethe
