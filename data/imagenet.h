// The classes of ImageNet-1K (ILSVRC 2012).
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace lethe {

struct ImageNetClass {
    const char* id;     // WordNet id, "n01440764"
    const char* words;  // "tench"
};

// In the order of their labels, which is that of their ids.
const std::array<ImageNetClass, 1000>& imagenet_classes();
// The label of a WordNet id, or -1.
int64_t imagenet_label(std::string_view id);

}  // namespace lethe
