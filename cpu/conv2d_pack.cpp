#include "cpu/conv2d_pack.h"

#include <algorithm>

#include "cpu/chunks.h"
#include "cpu/simd.h"

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

// Calls panel(first, width) for the columns [first, first + width) of every panel (simd::RowProduct).
template <class Panel>
void for_panels(int64_t columns, Panel&& panel) {
    for_chunks(columns, simd::row_product_panel, [&](int64_t begin, int64_t end) { panel(begin, end - begin); });
}

// Weights in storage order are a matrix [K, R*S*C]; its transpose has panels of filters.
void pack_rows(const Sizes& size, const float* weights, float* packed) {
    const int64_t length = size.taps * size.channels;
    constexpr int64_t in_cache = 64;
    for_panels(size.filters, [&](int64_t first, int64_t width) {
        float* to = packed + first * length;
        for (int64_t begin = 0; begin < length; begin += in_cache)
            for (int64_t k = 0; k < width; ++k) {
                const float* from = weights + (first + k) * length;
                for (int64_t i = begin; i < std::min(length, begin + in_cache); ++i) to[i * width + k] = from[i];
            }
    });
}

void pack_rows_transposed(const Sizes& size, const float* weights, float* packed) {
    const int64_t length = size.taps * size.channels;
    for_panels(length, [&](int64_t first, int64_t width) {
        for (int64_t k = 0; k < size.filters; ++k)
            std::copy_n(weights + k * length + first, width, packed + first * size.filters + k * width);
    });
}

using Channels = float[vector_width];

// to = G from for each channel, where G = (1 0 0; 1/2 1/2 1/2; 1/2 -1/2 1/2; 0 0 1); elements lie `step` apart.
void winograd_sums(const Channels* from, int64_t step, Channels* to, int64_t to_step) {
    for (int64_t c = 0; c < vector_width; ++c) {
        const float sum = 0.5f * (from[0][c] + from[2 * step][c]), middle = 0.5f * from[step][c];
        to[0][c] = from[0][c];
        to[to_step][c] = sum + middle;
        to[2 * to_step][c] = sum - middle;
        to[3 * to_step][c] = from[2 * step][c];
    }
}

constexpr int64_t winograd_kernel = 3, winograd_patch = 4, winograd_matrices = winograd_patch * winograd_patch;

// G g G^T of one filter for 16 channels, of which the first lies at `weights`.
void winograd_filter(const Sizes& size, const float* weights, bool flipped, Channels* both) {
    Channels g[winograd_kernel * winograd_kernel], columns[winograd_patch * winograd_kernel];
    for (int64_t tap = 0; tap < size.taps; ++tap)
        std::copy_n(weights + tap * size.channels, vector_width, g[flipped ? size.taps - 1 - tap : tap]);
    for (int64_t s = 0; s < winograd_kernel; ++s) winograd_sums(g + s, winograd_kernel, columns + s, winograd_kernel);
    for (int64_t r = 0; r < winograd_patch; ++r)
        winograd_sums(columns + r * winograd_kernel, 1, both + r * winograd_patch, 1);
}

// The columns are filters: channels outside, so that a panel's rows of one channel block stay in the cache.
void pack_winograd(const Sizes& size, const float* weights, float* packed) {
    const int64_t matrix = size.filters * size.channels;
    for_panels(size.filters, [&](int64_t first, int64_t width) {
        Channels both[winograd_matrices];
        for (int64_t c = 0; c < size.channels; c += vector_width)
            for (int64_t k = 0; k < width; ++k) {
                winograd_filter(size, weights + (first + k) * size.taps * size.channels + c, false, both);
                float* to = packed + first * size.channels + c * width + k;
                for (int64_t i = 0; i < winograd_matrices; ++i)
                    for (int64_t lane = 0; lane < vector_width; ++lane) to[i * matrix + lane * width] = both[i][lane];
            }
    });
}

// The columns are channels, which lie side by side here and there.
void pack_winograd_flipped(const Sizes& size, const float* weights, float* packed) {
    const int64_t matrix = size.filters * size.channels;
    for_panels(size.channels, [&](int64_t first, int64_t width) {
        Channels both[winograd_matrices];
        for (int64_t k = 0; k < size.filters; ++k)
            for (int64_t c = 0; c < width; c += vector_width) {
                winograd_filter(size, weights + k * size.taps * size.channels + first + c, true, both);
                float* to = packed + first * size.filters + k * width + c;
                for (int64_t i = 0; i < winograd_matrices; ++i) std::copy_n(both[i], vector_width, to + i * matrix);
            }
    });
}

}  // namespace

int64_t packed_count(Packing packing, const Shape& shape) {
    const bool winograd = packing == Packing::winograd || packing == Packing::winograd_flipped;
    return winograd ? winograd_matrices * shape[0] * shape[1] : shape.numel();
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
            return pack_rows(size, weights, packed);
        case Packing::rows_transposed:
            return pack_rows_transposed(size, weights, packed);
        case Packing::winograd:
            return pack_winograd(size, weights, packed);
        case Packing::winograd_flipped:
            return pack_winograd_flipped(size, weights, packed);
    }
}

const void* layout_of(Packing packing) {
    static constexpr char names[8] = {};
    return &names[static_cast<int>(packing)];
}

}  // namespace lethe
