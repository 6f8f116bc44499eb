#include "data/safetensors.h"

#include "fuzz/targets.h"
#include "tensor/error.h"

namespace lethe::fuzz {
namespace {

std::vector<uint8_t> formatted(const WeightFile& file) {
    try {
        return format_safetensors(file.entries, file.metadata);
    } catch (const Error& error) {
        throw Violation("what was read can be written, but: " + std::string(error.what()));
    }
}

}  // namespace

// The first writing may lay the header out anew; from then on every byte must survive.
void load_safetensors(Bytes bytes) {
    const WeightFile file = parse_safetensors(bytes);
    const std::vector<uint8_t> written = formatted(file);
    require(formatted(parse_safetensors(written)) == written, "what was written is read back the same");
    file.state();
}

}  // namespace lethe::fuzz
