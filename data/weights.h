// Weight files in and out.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "data/stored_tensor.h"

namespace lethe {

using Metadata = std::map<std::string, std::string>;

struct WeightFile {
    StoredState entries;  // names, types and bytes as in the file
    Metadata metadata;    // safetensors' __metadata__, or what Lethe put into a PyTorch file
    std::string format;   // "safetensors", "pytorch-zip", "pytorch-legacy", "npz", "huggingface-folder"

    // For a model: float32 and int64, under names without the prefix that all of them share. Throws Error for an entry
    // of more than four dimensions.
    StateDict state() const;
};

// "module." (torch.nn.DataParallel), "_orig_mod." (torch.compile) or both, where every name starts so; else empty.
std::string shared_prefix(const StoredState& entries);

// Reads any supported file, by content and not by its name:
//   safetensors          entries in the order of their data
//   PyTorch zip          torch.save since 1.6
//   PyTorch legacy       torch.save before 1.6 (a sequence of pickles, then raw storages)
// with float64, float32, float16, bfloat16, int64, int32, int16, int8, uint8 and bool entries.
// PyTorch files are read by a small pickle interpreter that knows the opcodes and the handful of names that tensors
// need and executes nothing: any other name in the file is an Error that says which. Nested dictionaries are searched
// for "state_dict", "model_state_dict", "model", "net" (in this order); strided tensors are made contiguous. Entries of
// the dictionary that are not tensors are passed over; strict loading reports what a model misses.
// Throws Error, naming the file, what was found and what would be right: missing, truncated, wrong magic, overlapping
// or out-of-range offsets, absurd sizes, unsupported dtypes, duplicate names. NaN values are read; Model::load_state
// rejects.
WeightFile read_weights(const std::filesystem::path& path);

// Writes safetensors in the given order, atomically (temporary name, sync, rename). Throws Error when the disk is full
// or the folder cannot be written; then the old file is still there.
void write_safetensors(const std::filesystem::path& path, const StoredState& entries, const Metadata& metadata = {});
void write_safetensors(const std::filesystem::path& path, const StateDict& state, const Metadata& metadata = {});

}  // namespace lethe
