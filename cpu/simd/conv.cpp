// Direct convolutions of one image, channels-last, in AVX-512. Sixteen output channels fill a vector; each block keeps
// its output pixels in registers through the whole sum, and each input value, once broadcast, meets all the taps and
// output blocks that use it. The sum of one output always runs over kernel rows, then input channels, then kernel
// columns: no blocking changes its bits.
#include "cpu/simd/tables.h"

#if defined(__AVX512F__)
#include <immintrin.h>

namespace lethe::simd::LETHE_ISA {
namespace {

#define LETHE_INLINE inline __attribute__((always_inline))
#define LETHE_UNROLL _Pragma("GCC unroll 40")

constexpr int vector_width = 16;

// What a block of output pixels needs: addresses are those of its first pixel.
struct Block {
    const float* x;          // input at the block's first tap, which may lie outside the image
    int64_t row_step;        // floats from one input row to the next
    int64_t in_channels;     // used where the template says 0
    const float* w;          // first of Out blocks of packed weights
    int64_t w_step;          // floats from one output block's weights to the next
    int first_row, end_row;  // kernel rows inside the image
    const float* bias;
    const float* residual;
    bool relu;
    float* y;
    int64_t out_channels;
};

template <int Kernel, int Stride, int Pixels, int Out, int Channels, bool Left, bool Right>
struct Convolve {
    static constexpr int taps = (Pixels - 1) * Stride + Kernel;  // input columns under the block

    static LETHE_INLINE void row(const Block& b, int r, __m512 (&acc)[Out][Pixels]) {
        const int64_t channels = Channels != 0 ? Channels : b.in_channels;
        const float* x = b.x + r * b.row_step;
        const float* w = b.w + r * Kernel * channels * vector_width;
        for (int64_t c = 0; c < channels; ++c) {
            __m512 weights[Out][Kernel];
            LETHE_UNROLL for (int o = 0; o < Out; ++o) LETHE_UNROLL for (int s = 0; s < Kernel; ++s) weights[o][s] =
                _mm512_load_ps(w + o * b.w_step + (s * channels + c) * vector_width);
            LETHE_UNROLL for (int i = 0; i < taps; ++i) {
                if ((Left && i == 0) || (Right && i == taps - 1)) continue;  // zero padding
                const __m512 value = _mm512_set1_ps(x[i * channels + c]);
                LETHE_UNROLL for (int s = 0; s < Kernel; ++s) {
                    const int pixel = (i - s) / Stride;
                    if (i < s || (i - s) % Stride != 0 || pixel >= Pixels) continue;
                    LETHE_UNROLL for (int o = 0; o < Out; ++o) acc[o][pixel] =
                        _mm512_fmadd_ps(value, weights[o][s], acc[o][pixel]);
                }
            }
        }
    }

    // bias and residual come last: a sum that starts from a large bias would round at the bias' size all along.
    static void run(const Block& b) {
        __m512 acc[Out][Pixels] = {};
        for (int r = b.first_row; r < b.end_row; ++r) row(b, r, acc);
        LETHE_UNROLL for (int o = 0; o < Out; ++o) {
            const __m512 bias = b.bias != nullptr ? _mm512_loadu_ps(b.bias + o * vector_width) : _mm512_setzero_ps();
            LETHE_UNROLL for (int p = 0; p < Pixels; ++p) {
                const int64_t at = p * b.out_channels + o * vector_width;
                __m512 v = acc[o][p] + bias;
                if (b.residual != nullptr) v += _mm512_loadu_ps(b.residual + at);
                if (b.relu) v = v < _mm512_setzero_ps() ? _mm512_setzero_ps() : v;  // keeps NaN
                _mm512_storeu_ps(b.y + at, v);
            }
        }
    }
};

using RunBlock = void (*)(const Block&);

template <int Kernel, int Stride, int Pixels, int Out, int Channels>
RunBlock with_edges(bool left, bool right) {
    if constexpr (Kernel == 1) {
        return Convolve<Kernel, Stride, Pixels, Out, Channels, false, false>::run;
    } else {
        if (left && right) return Convolve<Kernel, Stride, Pixels, Out, Channels, true, true>::run;
        if (left) return Convolve<Kernel, Stride, Pixels, Out, Channels, true, false>::run;
        if (right) return Convolve<Kernel, Stride, Pixels, Out, Channels, false, true>::run;
        return Convolve<Kernel, Stride, Pixels, Out, Channels, false, false>::run;
    }
}

// A size of block and its code for each combination of image edges that it may touch.
struct Tile {
    int pixels, out;
    RunBlock run[2][2];
};

template <int Kernel, int Stride, int Pixels, int Out, int Channels>
Tile tile() {
    return {Pixels,
            Out,
            {{with_edges<Kernel, Stride, Pixels, Out, Channels>(false, false),
              with_edges<Kernel, Stride, Pixels, Out, Channels>(false, true)},
             {with_edges<Kernel, Stride, Pixels, Out, Channels>(true, false),
              with_edges<Kernel, Stride, Pixels, Out, Channels>(true, true)}}};
}

// The largest block that fits the row and the output channels: about 16 accumulators hide the latency of the
// multiply-add and leave registers for weights.
template <int Kernel, int Stride, int Channels>
Tile tile_for(int64_t width, int64_t out_blocks) {
    if (width >= 16 && out_blocks % 2 != 0) return tile<Kernel, Stride, 16, 1, Channels>();
    if (width >= 8 && out_blocks % 2 == 0) return tile<Kernel, Stride, 8, 2, Channels>();
    if (width >= 8) return tile<Kernel, Stride, 8, 1, Channels>();
    if (width >= 4 && out_blocks % 4 == 0) return tile<Kernel, Stride, 4, 4, Channels>();
    if (width >= 4) return tile<Kernel, Stride, 4, 1, Channels>();
    if (out_blocks % 4 == 0) return tile<Kernel, Stride, 1, 4, Channels>();
    return tile<Kernel, Stride, 1, 1, Channels>();
}

template <int Kernel, int Stride>
Tile tile_for_channels(const ConvImage& op) {
    const int64_t blocks = op.out_channels / vector_width;
    switch (op.in_channels) {  // known strides leave the address arithmetic to the compiler
        case 16:
            return tile_for<Kernel, Stride, 16>(op.out_width, blocks);
        case 32:
            return tile_for<Kernel, Stride, 32>(op.out_width, blocks);
        case 64:
            return tile_for<Kernel, Stride, 64>(op.out_width, blocks);
        default:
            return tile_for<Kernel, Stride, 0>(op.out_width, blocks);
    }
}

Tile tile_of(const ConvImage& op) {
    if (op.kernel == 3) return op.stride == 1 ? tile_for_channels<3, 1>(op) : tile_for_channels<3, 2>(op);
    return op.stride == 1 ? tile_for_channels<1, 1>(op) : tile_for_channels<1, 2>(op);
}

// The kernel rows that meet the image where its row `top` is the first.
struct Rows {
    int first, end;
};
Rows rows_inside(int64_t top, int64_t kernel, int64_t height) {
    const int64_t below = top + kernel - height;
    return {static_cast<int>(top < 0 ? -top : 0), static_cast<int>(below > 0 ? kernel - below : kernel)};
}

void conv_wide(const float* x, const float* packed, float* y, const ConvImage& op) {
    const Tile tile = tile_of(op);
    const int64_t pad = op.kernel / 2, row_step = op.width * op.in_channels;
    const int64_t w_step = op.kernel * op.kernel * op.in_channels * vector_width;
    for (int64_t k = 0; k < op.out_channels; k += tile.out * vector_width)
        for (int64_t p = 0; p < op.out_height; ++p) {
            const int64_t top = p * op.stride - pad;
            const Rows rows = rows_inside(top, op.kernel, op.height);
            for (int64_t q = 0; q < op.out_width; q += tile.pixels) {
                // The last block moves back to stay inside the row: some pixels are computed twice, to the same bits.
                const int64_t first = q + tile.pixels <= op.out_width ? q : op.out_width - tile.pixels;
                const int64_t left = first * op.stride - pad;
                const bool at_right = left + (tile.pixels - 1) * op.stride + op.kernel > op.width;
                const int64_t out = (p * op.out_width + first) * op.out_channels + k;
                tile.run[left < 0][at_right]({x + top * row_step + left * op.in_channels, row_step, op.in_channels,
                                              packed + k / vector_width * w_step, w_step, rows.first, rows.end,
                                              op.bias == nullptr ? nullptr : op.bias + k,
                                              op.residual == nullptr ? nullptr : op.residual + out, op.relu, y + out,
                                              op.out_channels});
            }
        }
}

// The sums of the lanes of four vectors.
LETHE_INLINE void sums_of_lanes(const __m512& a, const __m512& b, const __m512& c, const __m512& d, float* out) {
    typedef float Quarter __attribute__((vector_size(16), aligned(4), may_alias));
    const auto fold = [](const __m512& u, const __m512& v) __attribute__((always_inline)) {  // (u02 v02 u13 v13) x 4
        return __builtin_shufflevector(u, v, 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29) +
               __builtin_shufflevector(u, v, 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31);
    };
    const __m512 ab = fold(a, b), cd = fold(c, d);
    const __m512 abcd = __builtin_shufflevector(ab, cd, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29) +
                        __builtin_shufflevector(ab, cd, 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31);
    const auto half = __builtin_shufflevector(abcd, abcd, 0, 1, 2, 3, 4, 5, 6, 7) +
                      __builtin_shufflevector(abcd, abcd, 8, 9, 10, 11, 12, 13, 14, 15);
    *reinterpret_cast<Quarter*>(out) =
        __builtin_shufflevector(half, half, 0, 1, 2, 3) + __builtin_shufflevector(half, half, 4, 5, 6, 7);
}

// Few output channels: here the lanes hold input channels, and four output pixels are summed over lanes at the end.
template <int Out, bool Left, bool Right>
void narrow_block(const float* x, const float* packed, float* y, const Rows& rows, const ConvImage& op) {
    constexpr int pixels = 4, kernel = 3;
    __m512 acc[pixels * Out] = {};
    for (int r = rows.first; r < rows.end; ++r)
        for (int64_t c = 0; c < op.in_channels; c += vector_width) {
            const float* from = x + r * op.width * op.in_channels + c;
            const float* w = packed + r * kernel * Out * op.in_channels + c;
            __m512 weights[kernel * Out];
            LETHE_UNROLL for (int i = 0; i < kernel * Out; ++i) weights[i] = _mm512_loadu_ps(w + i * op.in_channels);
            LETHE_UNROLL for (int i = 0; i < pixels + kernel - 1; ++i) {
                if ((Left && i == 0) || (Right && i == pixels + kernel - 2)) continue;
                const __m512 value = _mm512_loadu_ps(from + i * op.in_channels);
                LETHE_UNROLL for (int s = 0; s < kernel; ++s) {
                    if (i < s || i - s >= pixels) continue;
                    LETHE_UNROLL for (int o = 0; o < Out; ++o) acc[(i - s) * Out + o] =
                        _mm512_fmadd_ps(value, weights[s * Out + o], acc[(i - s) * Out + o]);
                }
            }
        }
    LETHE_UNROLL for (int i = 0; i < pixels * Out; i += 4)
        sums_of_lanes(acc[i], acc[i + 1], acc[i + 2], acc[i + 3], y + i);
}

template <int Out>
void narrow_image(const float* x, const float* packed, float* y, const ConvImage& op) {
    constexpr int64_t pixels = 4;
    for (int64_t p = 0; p < op.height; ++p) {
        const Rows rows = rows_inside(p - 1, 3, op.height);
        for (int64_t q = 0; q < op.width; q += pixels) {
            const int64_t first = q + pixels <= op.width ? q : op.width - pixels;
            const bool left = first == 0, right = first + pixels == op.width;
            const auto run = left && right ? narrow_block<Out, true, true>
                             : left        ? narrow_block<Out, true, false>
                             : right       ? narrow_block<Out, false, true>
                                           : narrow_block<Out, false, false>;
            run(x + ((p - 1) * op.width + first - 1) * op.in_channels, packed, y + (p * op.width + first) * Out, rows,
                op);
        }
    }
}

void conv_narrow(const float* x, const float* packed, float* y, const ConvImage& op) {
    switch (op.out_channels) {
        case 1:
            return narrow_image<1>(x, packed, y, op);
        case 2:
            return narrow_image<2>(x, packed, y, op);
        case 3:
            return narrow_image<3>(x, packed, y, op);
        default:
            return narrow_image<4>(x, packed, y, op);
    }
}

}  // namespace

void add_convolutions(Kernels& table) {
    table.conv_wide = conv_wide;
    table.conv_narrow = conv_narrow;
}

}  // namespace lethe::simd::LETHE_ISA

#else

namespace lethe::simd::LETHE_ISA {

void add_convolutions(Kernels&) {}  // oneDNN's kernels are used

}  // namespace lethe::simd::LETHE_ISA

#endif
