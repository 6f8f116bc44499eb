// The safetensors container: 8 bytes header length, a JSON header, raw little-endian data.
// Format: https://huggingface.co/docs/safetensors (section "Format").
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "data/weights.h"

namespace lethe {

// The contents of a safetensors file; entries in the order of their data. Errors do not name the file.
WeightFile parse_safetensors(std::span<const uint8_t> file);

// The bytes of a safetensors file. Throws Error for a name that appears twice, is "__metadata__" or is not UTF-8.
std::vector<uint8_t> format_safetensors(const StoredState& state, const std::map<std::string, std::string>& metadata);

// For files that are written in pieces: everything before the data of these entries, which follow in this order. Throws
// Error as format_safetensors does.
struct EntryHead {
    std::string name;
    const ElementInfo* element;
    std::vector<int64_t> sizes;
};
std::vector<uint8_t> safetensors_head(const std::vector<EntryHead>& entries,
                                      const std::map<std::string, std::string>& metadata);

// For files of one tensor that are read in pieces (data/row_file.h): where its data begins. `read(at, bytes)` fills
// `bytes` from the file's byte `at` on; anything else than exactly one tensor in a file of `file_bytes` bytes throws
// Error.
struct OnlyTensor {
    const ElementInfo* element = nullptr;
    std::vector<int64_t> sizes;
    uint64_t begin = 0;
};
OnlyTensor only_tensor_of_safetensors(uint64_t file_bytes,
                                      const std::function<void(uint64_t at, std::span<uint8_t> bytes)>& read);

}  // namespace lethe
