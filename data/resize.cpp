#include "data/resize.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#ifdef __x86_64__
#include <immintrin.h>
#endif

#include "tensor/error.h"

namespace lethe {
namespace {

constexpr int weight_bits = 22;  // a byte times a weight below 2, summed up, stays within 32 bits

// Filters of support [-1, 1] and [-2, 2].
double triangle_filter(double t) { return std::max(0.0, 1.0 - std::abs(t)); }

double cubic_filter(double t) {
    constexpr double a = -0.5;
    t = std::abs(t);
    if (t < 1.0) return ((a + 2.0) * t - (a + 3.0)) * t * t + 1.0;
    if (t < 2.0) return (((t - 5.0) * t + 8.0) * t - 4.0) * a;
    return 0.0;
}

// What each output position along one axis is made of: `count` input positions from `first`.
struct Taps {
    struct Run {
        int64_t first, count;
    };
    std::vector<Run> runs;
    std::vector<int32_t> weights;  // `width` for each run, zero beyond its count
    int64_t width = 0;

    const int32_t* of(int64_t i) const { return weights.data() + i * width; }
    int64_t begin() const { return runs.front().first; }
    int64_t end() const {
        int64_t end = 0;
        for (const Run& run : runs) end = std::max(end, run.first + run.count);
        return end;
    }
};

int32_t fixed_point(double weight) {
    return static_cast<int32_t>(std::trunc(weight * (1 << weight_bits) + (weight < 0 ? -0.5 : 0.5)));
}

// For positions [start, start + length) of an axis that shrinks or grows from `from` to `to`.
Taps make_taps(int64_t from, int64_t to, int64_t start, int64_t length, Interpolation interpolation) {
    const bool bilinear = interpolation == Interpolation::bilinear;
    const double step = static_cast<double>(from) / static_cast<double>(to), scale = std::max(step, 1.0);
    const double support = (bilinear ? 1.0 : 2.0) * scale, inverse = 1.0 / scale;
    Taps taps;
    taps.width = static_cast<int64_t>(std::ceil(support)) * 2 + 1;
    taps.runs.reserve(static_cast<std::size_t>(length));
    taps.weights.assign(static_cast<std::size_t>(length * taps.width), 0);
    std::vector<double> weights(static_cast<std::size_t>(taps.width));
    for (int64_t i = 0; i < length; ++i) {
        const double centre = (static_cast<double>(start + i) + 0.5) * step;
        const int64_t first = std::max(static_cast<int64_t>(centre - support + 0.5), int64_t{0});
        const int64_t count = std::min(static_cast<int64_t>(centre + support + 0.5), from) - first;
        double sum = 0.0;
        for (int64_t x = 0; x < count; ++x) {
            const double t = (static_cast<double>(first + x) - centre + 0.5) * inverse;
            weights[static_cast<std::size_t>(x)] = bilinear ? triangle_filter(t) : cubic_filter(t);
            sum += weights[static_cast<std::size_t>(x)];
        }
        for (int64_t x = 0; x < count; ++x)
            taps.weights[static_cast<std::size_t>(i * taps.width + x)] =
                fixed_point(weights[static_cast<std::size_t>(x)] / sum);
        taps.runs.push_back({first, count});
    }
    return taps;
}

uint8_t to_byte(int32_t sum) { return static_cast<uint8_t>(std::clamp(sum >> weight_bits, 0, 255)); }

constexpr int32_t half = 1 << (weight_bits - 1);

constexpr int64_t rows_at_once = 8;

void resample_row(const uint8_t* row, const Taps& taps, uint8_t* out) {
    for (std::size_t i = 0; i < taps.runs.size(); ++i, out += 3) {
        const int32_t* weights = taps.of(static_cast<int64_t>(i));
        const uint8_t* pixel = row + taps.runs[i].first * 3;
        int32_t red = half, green = half, blue = half;
        for (int64_t x = 0; x < taps.runs[i].count; ++x, pixel += 3) {
            red += weights[x] * pixel[0];
            green += weights[x] * pixel[1];
            blue += weights[x] * pixel[2];
        }
        out[0] = to_byte(red);
        out[1] = to_byte(green);
        out[2] = to_byte(blue);
    }
}

// One output row from `count` rows that lie `stride` bytes apart. Compiled for each instruction set that calls it.
inline __attribute__((always_inline)) void mix_rows_loop(const uint8_t* rows, int64_t stride, const int32_t* weights,
                                                         int64_t count, uint8_t* out, int64_t bytes) {
    constexpr int64_t block = 64;
    int64_t begin = 0;
    for (; begin + block <= bytes; begin += block) {
        int32_t sums[block];
        std::fill_n(sums, block, half);
        for (int64_t y = 0; y < count; ++y)
            for (int64_t x = 0; x < block; ++x) sums[x] += weights[y] * rows[y * stride + begin + x];
        for (int64_t x = 0; x < block; ++x) out[begin + x] = to_byte(sums[x]);
    }
    for (; begin < bytes; ++begin) {
        int32_t sum = half;
        for (int64_t y = 0; y < count; ++y) sum += weights[y] * rows[y * stride + begin];
        out[begin] = to_byte(sum);
    }
}

#ifdef __x86_64__
const bool has_avx2 = __builtin_cpu_supports("avx2");

#define LETHE_AVX2 __attribute__((target("avx2")))

LETHE_AVX2 void mix_rows_avx2(const uint8_t* rows, int64_t stride, const int32_t* weights, int64_t count, uint8_t* out,
                              int64_t bytes) {
    mix_rows_loop(rows, stride, weights, count, out, bytes);
}

LETHE_AVX2 inline uint32_t four_bytes(const uint8_t* from) {
    uint32_t bytes;
    std::memcpy(&bytes, from, sizeof bytes);
    return bytes;
}

// resample_row() for `rows_at_once` rows that lie `stride` bytes apart, the same integers: a vector holds red, green,
// blue and a lane that has no say for each of two rows. It reads a byte behind the last pixel of each row.
LETHE_AVX2 void resample_rows_avx2(const uint8_t* in, int64_t stride, const Taps& taps, uint8_t* out) {
    constexpr int64_t pairs = rows_at_once / 2;
    const int64_t out_stride = static_cast<int64_t>(taps.runs.size()) * 3;
    for (std::size_t i = 0; i < taps.runs.size(); ++i, out += 3) {
        const int32_t* weights = taps.of(static_cast<int64_t>(i));
        const uint8_t* pixel = in + taps.runs[i].first * 3;
        __m256i sums[pairs];
        for (__m256i& sum : sums) sum = _mm256_set1_epi32(half);
        for (int64_t x = 0; x < taps.runs[i].count; ++x, pixel += 3) {
            const __m256i weight = _mm256_set1_epi32(weights[x]);
            for (int64_t p = 0; p < pairs; ++p) {
                const uint8_t* first = pixel + 2 * p * stride;
                const __m128i bytes = _mm_insert_epi32(_mm_cvtsi32_si128(static_cast<int>(four_bytes(first))),
                                                       static_cast<int>(four_bytes(first + stride)), 1);
                sums[p] = _mm256_add_epi32(sums[p], _mm256_mullo_epi32(_mm256_cvtepu8_epi32(bytes), weight));
            }
        }
        for (int64_t p = 0; p < pairs; ++p) {
            const __m256i values = _mm256_srai_epi32(sums[p], weight_bits);  // within 16 bits; packing clamps to bytes
            const __m256i words = _mm256_packs_epi32(values, values), bytes = _mm256_packus_epi16(words, words);
            const int first = _mm256_extract_epi32(bytes, 0), second = _mm256_extract_epi32(bytes, 4);
            std::memcpy(out + 2 * p * out_stride, &first, 3);
            std::memcpy(out + (2 * p + 1) * out_stride, &second, 3);
        }
    }
}
#else
constexpr bool has_avx2 = false;
constexpr auto mix_rows_avx2 = mix_rows_loop;
void resample_rows_avx2(const uint8_t*, int64_t, const Taps&, uint8_t*) {}
#endif

void mix_rows(const uint8_t* rows, int64_t stride, const int32_t* weights, int64_t count, uint8_t* out, int64_t bytes) {
    if (has_avx2)
        mix_rows_avx2(rows, stride, weights, count, out, bytes);
    else
        mix_rows_loop(rows, stride, weights, count, out, bytes);
}

const uint8_t* pixel_at(const ImageBytes& image, int64_t y, int64_t x) {
    return image.pixels.data() + (y * image.width + x) * 3;
}

ImageBytes blank(int64_t height, int64_t width) {
    return {height, width, std::vector<uint8_t>(static_cast<std::size_t>(height * width * 3))};
}

// Rows [top, top + height) of the image, their pixels [left, left + width) after stretching rows to `new_width`.
ImageBytes stretch_rows(const ImageBytes& image, int64_t new_width, Interpolation interpolation, const Window& window) {
    ImageBytes out = blank(window.height, window.width);
    if (image.width == new_width) {
        for (int64_t y = 0; y < window.height; ++y)
            std::copy_n(pixel_at(image, window.top + y, window.left), window.width * 3,
                        out.pixels.data() + y * window.width * 3);
        return out;
    }
    const Taps taps = make_taps(image.width, new_width, window.left, window.width, interpolation);
    const int64_t bytes = window.width * 3, stride = image.width * 3;
    int64_t y = 0;
    if (has_avx2)  // behind the image's last row is no byte to be read
        for (; y + rows_at_once <= std::min(window.height, image.height - 1 - window.top); y += rows_at_once)
            resample_rows_avx2(pixel_at(image, window.top + y, 0), stride, taps, out.pixels.data() + y * bytes);
    for (; y < window.height; ++y)
        resample_row(pixel_at(image, window.top + y, 0), taps, out.pixels.data() + y * bytes);
    return out;
}

}  // namespace

ImageBytes resize(const ImageBytes& image, int64_t height, int64_t width, Interpolation interpolation,
                  const Window& window) {
    check(image.height > 0 && image.width > 0, "resize: an image of ", image.width, "x", image.height, " pixels");
    check(height > 0 && width > 0 && height <= most_image_pixels && width <= most_image_pixels &&
              height * width <= most_image_pixels,
          "resize: from ", image.width, "x", image.height, " to ", width, "x", height,
          " pixels; the new size must have from 1 to 2^26");
    check(window.top >= 0 && window.left >= 0 && window.height > 0 && window.width > 0 &&
              window.top + window.height <= height && window.left + window.width <= width,
          "resize: the window ", window.width, "x", window.height, " at (", window.left, ", ", window.top,
          ") does not lie inside ", width, "x", height);
    if (image.height == height) return stretch_rows(image, width, interpolation, window);

    const Taps taps = make_taps(image.height, height, window.top, window.height, interpolation);
    const int64_t first = taps.begin(), bytes = window.width * 3;
    const ImageBytes stretched =
        stretch_rows(image, width, interpolation, {first, window.left, taps.end() - first, window.width});
    ImageBytes out = blank(window.height, window.width);
    for (int64_t y = 0; y < window.height; ++y) {
        const Taps::Run& run = taps.runs[static_cast<std::size_t>(y)];
        mix_rows(stretched.pixels.data() + (run.first - first) * bytes, bytes, taps.of(y), run.count,
                 out.pixels.data() + y * bytes, bytes);
    }
    return out;
}

}  // namespace lethe
