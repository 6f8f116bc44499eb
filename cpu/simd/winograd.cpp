// The transforms of Winograd's convolution F(2x2, 3x3) (Lavin and Gray, CVPR 2016, section 4.1), channels-last: patches
// of 4x4 pixels, two apart, become 16 numbers per channel, and 16 sums over channels become 2x2 pixels.
#include "cpu/simd/tables.h"
#include "cpu/simd/vec.h"

namespace lethe::simd::LETHE_ISA {
namespace {

constexpr int patch = 4, tile = 2;

// to = B^T from, where B^T = (1 0 -1 0; 0 1 1 0; 0 -1 1 0; 0 1 0 -1); elements lie `step` apart.
LETHE_INLINE void to_sums(const Vec* from, Vec* to, int step) {
    to[0] = from[0] - from[2 * step];
    to[step] = from[step] + from[2 * step];
    to[2 * step] = from[2 * step] - from[step];
    to[3 * step] = from[step] - from[3 * step];
}

LETHE_INLINE void transform_input(const Vec (&pixels)[patch * patch], float* v, int64_t v_step) {
    Vec columns[patch * patch], both[patch * patch];
    for (int s = 0; s < patch; ++s) to_sums(pixels + s, columns + s, patch);
    for (int r = 0; r < patch; ++r) to_sums(columns + r * patch, both + r * patch, 1);
    for (int i = 0; i < patch * patch; ++i) at(v + i * v_step) = both[i];
}

// x: the patch's first pixel, which may lie outside the image; [first, end) of its rows and columns lie inside.
struct Inside {
    int64_t first_row, end_row, first_column, end_column;
};

void input_patch(const float* x, int64_t row_step, const Inside& inside, int64_t channels, float* v, int64_t v_step) {
    for (int64_t c = 0; c < channels; c += lanes) {
        Vec pixels[patch * patch];
        for (int64_t r = 0; r < patch; ++r)
            for (int64_t s = 0; s < patch; ++s) {
                const bool is_inside =
                    r >= inside.first_row && r < inside.end_row && s >= inside.first_column && s < inside.end_column;
                pixels[r * patch + s] = is_inside ? at(x + r * row_step + s * channels + c) : Vec{};
            }
        transform_input(pixels, v + c, v_step);
    }
}

void whole_patch(const float* x, int64_t row_step, int64_t channels, float* v, int64_t v_step) {
    for (int64_t c = 0; c < channels; c += lanes) {
        Vec pixels[patch * patch];
        for (int64_t r = 0; r < patch; ++r)
            for (int64_t s = 0; s < patch; ++s) pixels[r * patch + s] = at(x + r * row_step + s * channels + c);
        transform_input(pixels, v + c, v_step);
    }
}

int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

void winograd_input(const float* x, int64_t tile_row, float* v, int64_t v_step, const ConvImage& op) {
    const int64_t channels = op.in_channels, row_step = op.width * channels, top = tile * tile_row - 1;
    const float* from = x + top * row_step;
    for (int64_t left = -1; left < op.width - 1; left += tile, v += channels) {
        const Inside inside{top < 0, smaller(patch, op.height - top), left < 0, smaller(patch, op.width - left)};
        if (top >= 0 && left >= 0 && inside.end_row == patch && inside.end_column == patch)
            whole_patch(from + left * channels, row_step, channels, v, v_step);
        else
            input_patch(from + left * channels, row_step, inside, channels, v, v_step);
    }
}

// to = A^T from, where A^T = (1 1 1 0; 0 1 -1 -1).
LETHE_INLINE void to_pixels(const Vec* from, Vec* to, int step, int to_step) {
    to[0] = from[0] + from[step] + from[2 * step];
    to[to_step] = from[step] - from[2 * step] - from[3 * step];
}

void winograd_output(const float* m, int64_t m_step, int64_t tile_row, float* y, const ConvImage& op) {
    const int64_t channels = op.out_channels, top = tile * tile_row, rows = smaller(tile, op.height - top);
    for (int64_t left = 0; left < op.width; left += tile, m += channels) {
        const int64_t columns = smaller(tile, op.width - left);
        for (int64_t c = 0; c < channels; c += lanes) {
            Vec sums[patch * patch], halves[tile * patch], pixels[tile * tile];
            for (int i = 0; i < patch * patch; ++i) sums[i] = at(m + i * m_step + c);
            for (int s = 0; s < patch; ++s) to_pixels(sums + s, halves + s, patch, patch);
            for (int r = 0; r < tile; ++r) to_pixels(halves + r * patch, pixels + r * tile, 1, 1);
            Vec bias{};
            if (op.bias != nullptr) bias = at(op.bias + c);
            for (int64_t r = 0; r < rows; ++r)
                for (int64_t s = 0; s < columns; ++s) {
                    const int64_t to = ((top + r) * op.width + left + s) * channels + c;
                    Vec pixel = pixels[r * tile + s] + bias;
                    if (op.residual != nullptr) pixel += at(op.residual + to);
                    if (op.relu) pixel = pixel < 0.0f ? Vec{} : pixel;  // keeps NaN
                    at(y + to) = pixel;
                }
        }
    }
}

}  // namespace

void add_winograd(Kernels& table) {
    table.winograd_input = winograd_input;
    table.winograd_output = winograd_output;
}

}  // namespace lethe::simd::LETHE_ISA
