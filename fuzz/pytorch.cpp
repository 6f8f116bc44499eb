#include "data/pytorch.h"

#include "data/safetensors.h"
#include "fuzz/targets.h"

namespace lethe::fuzz {
namespace {

// Into what `lethe convert` writes and what a model takes.
void use(const WeightFile& file) {
    format_safetensors(file.entries, file.metadata);
    file.state();
}

}  // namespace

void load_pytorch_zip(Bytes bytes) { use(parse_pytorch_zip(bytes)); }

void load_pytorch_legacy(Bytes bytes) { use(parse_pytorch_legacy(bytes)); }

}  // namespace lethe::fuzz
