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
    std::string format;   // "safetensors", "pytorch-zip", "pytorch-legacy", "npz", "folder"
    std::string sha256;   // of the file; of a folder, entries_sha256 of what it holds. Set by read_weights()

    // For a model: float32 and int64, under names without the prefix that all of them share. Throws Error for an entry
    // of more than four dimensions.
    StateDict state() const;
};

// "module." (torch.nn.DataParallel), "_orig_mod." (torch.compile) or both, where every name starts so; else empty.
std::string shared_prefix(const StoredState& entries);

// Reads any supported file, by content and not by its name, or a folder (data/model_folder.h):
//   safetensors          entries in the order of their data
//   PyTorch zip          torch.save since 1.6
//   PyTorch legacy       torch.save before 1.6 (a sequence of pickles, then raw storages)
//   npz                  numpy.savez and numpy.savez_compressed
// with float64, float32, float16, bfloat16, int64, int32, int16, int8, uint8 and bool entries.
// PyTorch files are read by a small pickle interpreter that knows the opcodes and the handful of names that tensors
// need and executes nothing: any other name in the file is an Error that says which. Nested dictionaries are searched
// for "state_dict", "model_state_dict", "model", "net" (in this order); strided tensors are made contiguous. Entries of
// the dictionary that are not tensors are passed over; strict loading reports what a model misses.
// Throws Error, naming the file, what was found and what would be right: missing, truncated, wrong magic, overlapping
// or out-of-range offsets, absurd sizes, unsupported dtypes, duplicate names. NaN values are read; Model::load_state
// rejects. A file whose metadata have tensors_sha256_key is refused when its entries have another hash.
WeightFile read_weights(const std::filesystem::path& path);

// The hash of what a file holds, whatever its format and the order of its entries: SHA-256 of one line
// "NAME DTYPE [SIZE, SIZE] SHA256\n" for each entry, sorted by name, with safetensors' dtypes and the SHA-256 of the
// entry's bytes.
std::string entries_sha256(const StoredState& entries);
inline constexpr const char* tensors_sha256_key = "lethe.tensors_sha256";

// Writes entries with their hash in the metadata, atomically: a PyTorch file where the name ends in .pt, .pth, .th or
// .bin, safetensors where it ends in .safetensors or has no ending. Throws Error for another ending, and as
// write_safetensors does.
void write_weights(const std::filesystem::path& path, const StoredState& entries, Metadata metadata);
void write_weights(const std::filesystem::path& path, const StateDict& state, Metadata metadata);

// Writes safetensors in the given order, atomically (temporary name, sync, rename). Throws Error when the disk is full
// or the folder cannot be written; then the old file is still there.
void write_safetensors(const std::filesystem::path& path, const StoredState& entries, const Metadata& metadata = {});
void write_safetensors(const std::filesystem::path& path, const StateDict& state, const Metadata& metadata = {});

}  // namespace lethe
