// The weight layouts of the own convolution kernels (cpu/simd.h).
#pragma once

#include "tensor/shape.h"

namespace lethe {

enum class Packing {
    wide,            // [K/16][R*S][C][16]
    wide_flipped,    // [C/16][R*S][K][16], kernel turned by 180 degrees: the gradient for x is a convolution with these
    narrow_flipped,  // [R*S][C][K], likewise
    depthwise,       // [R*S][K], of weights [K,1,R,S]
};

// `weights` [K,C,R,S] in storage order (K,R,S,C).
void pack_weights(Packing packing, const Shape& shape, const float* weights, float* packed);

// An address that names a packing, for PackedWeights.
const void* layout_of(Packing packing);

}  // namespace lethe
