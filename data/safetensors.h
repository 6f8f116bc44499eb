// The safetensors container: 8 bytes header length, a JSON header, raw little-endian data.
// Format: https://huggingface.co/docs/safetensors (section "Format").
#pragma once

#include <cstdint>
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

}  // namespace lethe
