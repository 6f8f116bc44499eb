#include "cpu/conv2d_pack.h"

#include <algorithm>

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

// Where element (i, j) of a matrix of inner x columns lies in its panels.
int64_t in_panel(int64_t inner, int64_t columns, int64_t i, int64_t j) {
    constexpr int64_t width = 32;
    const int64_t first = j / width * width;
    return first * inner + i * std::min(width, columns - first) + (j - first);
}

// Weights in storage order are a matrix [K, R*S*C].
void pack_rows(const Sizes& size, const float* weights, float* packed, bool transposed) {
    const int64_t length = size.taps * size.channels;
    for (int64_t k = 0; k < size.filters; ++k)
        for (int64_t i = 0; i < length; ++i)
            packed[transposed ? in_panel(size.filters, length, k, i) : in_panel(length, size.filters, i, k)] =
                weights[k * length + i];
}

// to = G from, where G = (1 0 0; 1/2 1/2 1/2; 1/2 -1/2 1/2; 0 0 1); elements lie `step` apart.
void winograd_sums(const float* from, int64_t step, float* to, int64_t to_step) {
    const float sum = 0.5f * (from[0] + from[2 * step]), middle = 0.5f * from[step];
    to[0] = from[0];
    to[to_step] = sum + middle;
    to[2 * to_step] = sum - middle;
    to[3 * to_step] = from[2 * step];
}

void pack_winograd(const Sizes& size, const float* weights, float* packed, bool flipped) {
    constexpr int64_t kernel = 3, patch = 4;
    for (int64_t k = 0; k < size.filters; ++k)
        for (int64_t c = 0; c < size.channels; ++c) {
            float g[kernel * kernel], columns[patch * kernel], both[patch * patch];
            for (int64_t tap = 0; tap < size.taps; ++tap)
                g[flipped ? size.taps - 1 - tap : tap] = weights[(k * size.taps + tap) * size.channels + c];
            for (int64_t s = 0; s < kernel; ++s) winograd_sums(g + s, kernel, columns + s, kernel);
            for (int64_t r = 0; r < patch; ++r) winograd_sums(columns + r * kernel, 1, both + r * patch, 1);
            const int64_t at =
                flipped ? in_panel(size.filters, size.channels, k, c) : in_panel(size.channels, size.filters, c, k);
            for (int64_t i = 0; i < patch * patch; ++i) packed[i * size.filters * size.channels + at] = both[i];
        }
}

}  // namespace

int64_t packed_count(Packing packing, const Shape& shape) {
    const bool winograd = packing == Packing::winograd || packing == Packing::winograd_flipped;
    return winograd ? 16 * shape[0] * shape[1] : shape.numel();
}

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
        case Packing::rows:
        case Packing::rows_transposed:
            return pack_rows(size, weights, packed, packing == Packing::rows_transposed);
        case Packing::winograd:
        case Packing::winograd_flipped:
            return pack_winograd(size, weights, packed, packing == Packing::winograd_flipped);
    }
}

const void* layout_of(Packing packing) {
    static constexpr char names[8] = {};
    return &names[static_cast<int>(packing)];
}

}  // namespace lethe
