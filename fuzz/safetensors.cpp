#include "data/safetensors.h"

#include "fuzz/targets.h"

namespace lethe::fuzz {

// The first writing may lay the header out anew; from then on every byte must survive.
void load_safetensors(Bytes bytes) {
    const WeightFile file = parse_safetensors(bytes);
    const auto formatted = [](const WeightFile& weights) {
        return without_error("what was read can be written",
                             [&] { return format_safetensors(weights.entries, weights.metadata); });
    };
    const std::vector<uint8_t> written = formatted(file);
    const WeightFile again = without_error("what was written can be read", [&] { return parse_safetensors(written); });
    require(formatted(again) == written, "what was written is read back the same");
    file.state();
}

}  // namespace lethe::fuzz
