// What a model costs: its size and the arithmetic of one image.
#pragma once

#include "nn/model.h"

namespace lethe {

struct Cost {
    int64_t parameters = 0;     // trainable values; BatchNorm's running statistics are none
    int64_t multiply_adds = 0;  // of convolutions and matrix products, as in torchvision's tables ("GFLOPS")
};

// Of one image of spec.image_size, at inference. Nothing is multiplied for it, but the model is built.
Cost cost_of(const ModelSpec& spec);

}  // namespace lethe
