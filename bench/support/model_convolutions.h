// Every distinct convolution that a model asks for, found by running it.
#pragma once

#include <cstdint>
#include <vector>

#include "nn/model.h"
#include "tensor/ops.h"

namespace lethe::bench {

struct ModelConvolution {
    Shape x, w;  // x of one image
    Conv2d op;
    bool residual;  // a shortcut is added to its result
    bool relu;      // x is the result of a BatchNorm and relu, so that its gradient is masked by it
    bool branches;  // x goes into a shortcut too: two gradients meet there

    bool operator==(const ModelConvolution& other) const;
};

// In the order of the forward pass, for square images of `size` pixels. One image goes through the model on the CPU;
// the shapes are read from the tape.
std::vector<ModelConvolution> convolutions_of(const ModelSpec& spec, int64_t size);

}  // namespace lethe::bench
