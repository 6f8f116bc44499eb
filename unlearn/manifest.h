// The manifest that travels in a weight file's metadata: which model the weights are for (docs/weights.md).
#pragma once

#include <cstdint>
#include <string>

#include "data/weights.h"
#include "nn/model.h"

namespace lethe {

Metadata manifest_of(const ModelSpec& spec);

// What a person said about the model; empty and 0: nothing.
struct GivenModel {
    std::string arch, stem;
    int64_t classes = 0, image_size = 0;
    std::string normalize;  // as set_normalization takes it
};

// The model that `file` with this metadata is for: what its manifest says, all of it or a part, and `given` for the
// rest. Throws Error naming the file: neither names the architecture, the two contradict each other, or the manifest
// says something that makes no sense.
ModelSpec agreed_spec(const std::string& file, const Metadata& metadata, const GivenModel& given);

}  // namespace lethe
