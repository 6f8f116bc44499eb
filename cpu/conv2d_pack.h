// The weight layouts of the own convolution kernels (cpu/simd.h).
#pragma once

#include "tensor/shape.h"

namespace lethe {

enum class Packing {
    wide,            // [K/16][R*S][C][16]
    wide_flipped,    // [C/16][R*S][K][16], kernel turned by 180 degrees: the gradient for x is a convolution with these
    narrow_flipped,  // [R*S][C][K], likewise
    depthwise,       // [R*S][K], of weights [K,1,R,S]
    // Matrices of inner x columns in panels (simd::RowProduct):
    rows,              // inner = R*S*C, columns = K
    rows_transposed,   // inner = K, columns = R*S*C
    winograd,          // 16 matrices G g G^T of 3x3 weights (Lavin and Gray 2016), inner = C, columns = K
    winograd_flipped,  // likewise of the turned kernel, inner = K, columns = C
};

// Floats that the weights take when packed.
int64_t packed_count(Packing packing, const Shape& shape);

// `weights` [K,C,R,S] in storage order (K,R,S,C). The Winograd forms are of 3x3 weights with K and C divisible by 16.
void pack_weights(Packing packing, const Shape& shape, const float* weights, float* packed);

// An address that names a packing, for PackedWeights.
const void* layout_of(Packing packing);

}  // namespace lethe
