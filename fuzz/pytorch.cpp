#include "data/pytorch.h"

#include "fuzz/targets.h"

namespace lethe::fuzz {

void load_pytorch_zip(Bytes bytes) { parse_pytorch_zip(bytes); }

void load_pytorch_legacy(Bytes bytes) { parse_pytorch_legacy(bytes); }

}  // namespace lethe::fuzz
