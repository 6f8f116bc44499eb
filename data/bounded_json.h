// JSON that nobody has vouched for. Only for the sources of data/: nlohmann/json is not part of its interface.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <span>
#include <string>

namespace lethe {

// One JSON object. Throws Error, beginning with `what` ("its JSON header"), for anything else, for a key that an object
// has twice (two readers might keep different ones), for values nested more than 16 deep and for more than 5,000,000
// parts, which take far more memory than their text.
nlohmann::json parse_bounded_json(std::span<const uint8_t> text, const std::string& what);

// An object of texts, as it is. Throws Error, beginning with `what`, for anything else.
std::map<std::string, std::string> parse_metadata(const nlohmann::json& object, const std::string& what);

// What JSON can hold, and PyTorch's and safetensors' names with it.
bool is_utf8(const std::string& text);

}  // namespace lethe
