// Weight files in and out.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "tensor/tensor.h"

namespace lethe {

struct WeightFile {
    StateDict state;
    std::map<std::string, std::string> metadata;  // safetensors' __metadata__; empty for PyTorch files
    std::string format;                           // "safetensors", "pytorch-zip", "pytorch-legacy"
    std::map<std::string, std::string> dtypes;    // per entry, as stored: "float32", "float16", "bfloat16", ...
};

// Reads any supported file, by content and not by its name:
//   safetensors          F32 F64 F16 BF16 I64 (I32 I16 I8 U8 BOOL too); entries in the order of their data
//   PyTorch zip          torch.save since 1.6
//   PyTorch legacy       torch.save before 1.6 (a sequence of pickles, then raw storages)
// PyTorch files are read by a small pickle interpreter that knows the opcodes and the handful of names that tensors
// need and executes nothing: any other name in the file is an Error that says which. Nested dictionaries are searched
// for "state_dict", "model", "net" (in this order); strided tensors are made contiguous; floating types become float32,
// integers int64. A prefix "module." shared by all names is removed. Entries of the dictionary that are not tensors are
// passed over; strict loading reports what a model misses.
// Throws Error, naming the file, what was found and what would be right: missing, truncated, wrong magic, overlapping
// or out-of-range offsets, absurd sizes, unsupported dtypes, duplicate names. NaN values are read; Model::load_state
// rejects.
WeightFile read_weights(const std::filesystem::path& path);

// Writes safetensors (float32 and int64), logical NCHW order, entries in the given order, atomically (temporary name,
// sync, rename). Throws Error when the disk is full or the folder cannot be written; then the old file is still there.
void write_safetensors(const std::filesystem::path& path, const StateDict& state,
                       const std::map<std::string, std::string>& metadata = {});

}  // namespace lethe
