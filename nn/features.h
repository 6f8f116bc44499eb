// What the layers of a model make of images.
#pragma once

#include <string>
#include <vector>

#include "nn/model.h"

namespace lethe {

// Of each block the mean over the image of every channel: [N,C] in place of the output [N,C,H,W], the mean over tokens
// [N,F] in place of [N,T,F]. All architectures and image sizes are then alike, and thousands of images fit in memory;
// where in the image something was is lost.
struct Features {
    std::vector<std::string> blocks;  // their names, from the images to the logits; the last is the layer of logits
    std::vector<Tensor> values;       // of each [N,C], on the CPU
    Tensor penultimate;               // [N,C]: what the layer of logits is given
};

// Of images [N,3,H,W] on the CPU through a folded twin, which is run as by predict(): bit-identical for any number of
// threads and, on the CPU, for any N. Throws Error for no images.
Features features(Model& twin, const Tensor& images);

}  // namespace lethe
