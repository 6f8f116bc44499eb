#include "data/resize.h"

#include <algorithm>
#include <cmath>

#include "tensor/error.h"

namespace lethe {
namespace {

constexpr int weight_bits = 22;  // a byte times a weight below 2, summed up, stays within 32 bits
constexpr int64_t most_pixels = int64_t{1} << 26;

// Filters of support [-1, 1] and [-2, 2].
double triangle(double t) { return std::max(0.0, 1.0 - std::abs(t)); }

double cubic(double t) {
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
            weights[static_cast<std::size_t>(x)] = bilinear ? triangle(t) : cubic(t);
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

// One output row from `count` rows that lie `stride` bytes apart.
void mix_rows(const uint8_t* rows, int64_t stride, const int32_t* weights, int64_t count, uint8_t* out, int64_t bytes) {
    constexpr int64_t block = 64;
    for (int64_t begin = 0; begin < bytes; begin += block) {
        const int64_t size = std::min(block, bytes - begin);
        int32_t sums[block];
        std::fill_n(sums, size, half);
        for (int64_t y = 0; y < count; ++y)
            for (int64_t x = 0; x < size; ++x) sums[x] += weights[y] * rows[y * stride + begin + x];
        for (int64_t x = 0; x < size; ++x) out[begin + x] = to_byte(sums[x]);
    }
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
    for (int64_t y = 0; y < window.height; ++y)
        resample_row(pixel_at(image, window.top + y, 0), taps, out.pixels.data() + y * window.width * 3);
    return out;
}

}  // namespace

ImageBytes resize(const ImageBytes& image, int64_t height, int64_t width, Interpolation interpolation,
                  const Window& window) {
    check(image.height > 0 && image.width > 0, "resize: an image of ", image.width, "x", image.height, " pixels");
    check(height > 0 && width > 0 && height <= most_pixels && width <= most_pixels && height * width <= most_pixels,
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
