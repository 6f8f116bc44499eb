#include "cpu/conv2d_pack.h"

namespace lethe {
namespace {

constexpr int64_t vector_width = 16;

struct Sizes {
    int64_t filters, channels, taps;
};

void pack_wide(const Sizes& size, const float* weights, float* packed) {
    for (int64_t k = 0; k < size.filters; ++k)
        for (int64_t tap = 0; tap < size.taps; ++tap) {
            const float* from = weights + (k * size.taps + tap) * size.channels;
            float* to = packed + (k / vector_width * size.taps + tap) * size.channels * vector_width + k % vector_width;
            for (int64_t c = 0; c < size.channels; ++c) to[c * vector_width] = from[c];
        }
}

void pack_wide_flipped(const Sizes& size, const float* weights, float* packed) {
    for (int64_t block = 0; block < size.channels / vector_width; ++block)
        for (int64_t tap = 0; tap < size.taps; ++tap)
            for (int64_t k = 0; k < size.filters; ++k) {
                const float* from = weights + (k * size.taps + tap) * size.channels + block * vector_width;
                float* to = packed + ((block * size.taps + size.taps - 1 - tap) * size.filters + k) * vector_width;
                for (int64_t lane = 0; lane < vector_width; ++lane) to[lane] = from[lane];
            }
}

void pack_narrow_flipped(const Sizes& size, const float* weights, float* packed) {
    for (int64_t k = 0; k < size.filters; ++k)
        for (int64_t tap = 0; tap < size.taps; ++tap)
            for (int64_t c = 0; c < size.channels; ++c)
                packed[((size.taps - 1 - tap) * size.channels + c) * size.filters + k] =
                    weights[(k * size.taps + tap) * size.channels + c];
}

void pack_depthwise(const Sizes& size, const float* weights, float* packed) {
    for (int64_t k = 0; k < size.filters; ++k)
        for (int64_t tap = 0; tap < size.taps; ++tap) packed[tap * size.filters + k] = weights[k * size.taps + tap];
}

}  // namespace

void pack_weights(Packing packing, const Shape& shape, const float* weights, float* packed) {
    const Sizes size{shape[0], shape[1], shape[2] * shape[3]};
    switch (packing) {
        case Packing::wide:
            return pack_wide(size, weights, packed);
        case Packing::wide_flipped:
            return pack_wide_flipped(size, weights, packed);
        case Packing::narrow_flipped:
            return pack_narrow_flipped(size, weights, packed);
        case Packing::depthwise:
            return pack_depthwise(size, weights, packed);
    }
}

const void* layout_of(Packing packing) {
    static constexpr char names[4] = {};
    return &names[static_cast<int>(packing)];
}

}  // namespace lethe
