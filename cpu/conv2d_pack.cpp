#include "cpu/conv2d_pack.h"

namespace lethe {
namespace {

constexpr int64_t vector_width = 16;

int64_t packed_index(Packing packing, const Shape& shape, int64_t k, int64_t tap, int64_t c) {
    const int64_t filters = shape[0], channels = shape[1], taps = shape[2] * shape[3];
    const int64_t flipped = taps - 1 - tap;
    switch (packing) {
        case Packing::wide:
            return ((k / vector_width * taps + tap) * channels + c) * vector_width + k % vector_width;
        case Packing::wide_flipped:
            return ((c / vector_width * taps + flipped) * filters + k) * vector_width + c % vector_width;
        case Packing::narrow_flipped:
            break;
    }
    return (flipped * channels + c) * filters + k;
}

}  // namespace

void pack_weights(Packing packing, const Shape& shape, const float* weights, float* packed) {
    const int64_t channels = shape[1], taps = shape[2] * shape[3];
    for (int64_t k = 0; k < shape[0]; ++k)
        for (int64_t tap = 0; tap < taps; ++tap)
            for (int64_t c = 0; c < channels; ++c)
                packed[packed_index(packing, shape, k, tap, c)] = weights[(k * taps + tap) * channels + c];
}

const void* layout_of(Packing packing) {
    static constexpr char names[3] = {};
    return &names[static_cast<int>(packing)];
}

}  // namespace lethe
