#include "data/safetensors.h"

#include "fuzz/targets.h"

namespace lethe::fuzz {

void load_safetensors(Bytes bytes) { parse_safetensors(bytes); }

}  // namespace lethe::fuzz
