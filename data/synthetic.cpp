#include "data/synthetic.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <numbers>

#include "data/dataset_kinds.h"
#include "tensor/error.h"
#include "tensor/parallel.h"

namespace lethe {
namespace {

constexpr int synthetic_side = 32;
constexpr int class_count = 10;
constexpr int64_t default_train = 4000, default_test = 1000, most_synthetic = 1'000'000;
constexpr float tau = 2 * std::numbers::pi_v<float>;

enum Motif { disc, ring, square, triangle, cross, star, stripes, checker, dots, spiral };
const std::array<const char*, class_count> kind_names{"disc", "ring",    "square",  "triangle", "cross",
                                                      "star", "stripes", "checker", "dots",     "spiral"};

// The random numbers of one image, in the order in which they are asked for.
class Draws {
public:
    Draws(const Random& random, uint64_t item) : random_(random), item_(item) {}
    float between(float low, float high) { return low + (high - low) * random_.uniform(item_, next_++); }
    int below(int bound) { return static_cast<int>(random_.below(bound, item_, next_++)); }
    bool chance(float probability) { return random_.uniform(item_, next_++) < probability; }

private:
    const Random& random_;
    uint64_t item_;
    uint32_t next_ = 0;
};

using Rgb = std::array<float, 3>;

struct Picture {
    std::array<Rgb, synthetic_side * synthetic_side> pixels;
    Rgb& at(int x, int y) { return pixels[static_cast<std::size_t>(y * synthetic_side + x)]; }
};

Rgb mix(const Rgb& a, const Rgb& b, float share) {
    Rgb result;
    for (std::size_t i = 0; i < 3; ++i) result[i] = a[i] + (b[i] - a[i]) * share;
    return result;
}

float distance(const Rgb& a, const Rgb& b) { return std::hypot(a[0] - b[0], a[1] - b[1], a[2] - b[2]); }

Rgb draw_colour(Draws& draws) {
    const float red = draws.between(0, 1), green = draws.between(0, 1), blue = draws.between(0, 1);
    return {red, green, blue};
}

// A colour at least `contrast` away from `other` (and the best of a few tries where none is).
Rgb draw_contrasting(Draws& draws, const Rgb& other, float contrast) {
    Rgb best = draw_colour(draws);
    for (int attempt = 0; attempt < 12 && distance(best, other) < contrast; ++attempt) {
        const Rgb candidate = draw_colour(draws);
        if (distance(candidate, other) > distance(best, other)) best = candidate;
    }
    return best;
}

// A shape of radius 1 around the origin, placed in the picture.
struct Shape2d {
    Motif kind = disc;
    int outline = 0;     // which plain shape a texture fills: disc, square or triangle
    float detail = 0.5;  // 0..1, what a kind leaves open: widths, counts, depths
    float x = 0, y = 0, radius = 1, angle = 0;
};

bool in_triangle(float u, float v) {  // equilateral, circumradius 1
    return v > -0.5f && 1.7320508f * std::abs(u) + v < 1;
}

bool in_outline(int outline, float u, float v) {
    if (outline == 0) return u * u + v * v < 1;
    if (outline == 1) return std::max(std::abs(u), std::abs(v)) < 0.84f;
    return in_triangle(u * 0.86f, v * 0.86f);
}

bool in_cross(float u, float v, float detail) {
    const float a = std::abs(u), b = std::abs(v);
    return std::max(a, b) < 0.95f && std::min(a, b) < 0.2f + 0.18f * detail;
}

// Five points: the edge runs straight from radius 1 at a point to `inner` halfway to the next.
bool in_star(float u, float v, float detail) {
    constexpr float half = tau / 10;
    const float inner = 0.38f + 0.17f * detail;
    const float angle = std::abs(std::remainder(std::atan2(v, u), 2 * half));
    const float along = std::hypot(u, v) * std::cos(angle), across = std::hypot(u, v) * std::sin(angle);
    const float edge_x = inner * std::cos(half) - 1, edge_y = inner * std::sin(half);
    return edge_x * across - edge_y * (along - 1) > 0;
}

bool in_spiral(float u, float v, float detail) {  // Archimedean, 1.3 to 1.9 turns
    const float radius = std::hypot(u, v);
    const float turns = (1.3f + 0.6f * detail) * radius - std::atan2(v, u) / tau;
    return radius < 1 && turns - std::floor(turns) < 0.5f;
}

bool in_stripes(float u, float detail) {
    const float period = 0.42f + 0.25f * detail;
    return std::abs(std::remainder(u, period)) < 0.25f * period;
}

bool in_checker(float u, float v, float detail) {
    const float cell = 0.32f + 0.18f * detail;
    return (static_cast<int>(std::floor(u / cell)) + static_cast<int>(std::floor(v / cell))) % 2 == 0;
}

bool in_dots(float u, float v, float detail) {
    const float period = 0.5f + 0.2f * detail;
    return std::hypot(std::remainder(u, period), std::remainder(v, period)) < 0.3f * period;
}

bool inside(const Shape2d& shape, float u, float v) {
    switch (shape.kind) {
        case disc:
            return u * u + v * v < 1;
        case ring:
            return u * u + v * v < 1 && std::hypot(u, v) > 0.45f + 0.25f * shape.detail;
        case square:
            return std::max(std::abs(u), std::abs(v)) < 0.84f;
        case triangle:
            return in_triangle(u, v);
        case cross:
            return in_cross(u, v, shape.detail);
        case star:
            return in_star(u, v, shape.detail);
        case stripes:
            return in_outline(shape.outline, u, v) && in_stripes(u, shape.detail);
        case checker:
            return in_outline(shape.outline, u, v) && in_checker(u, v, shape.detail);
        case dots:
            return in_outline(shape.outline, u, v) && in_dots(u, v, shape.detail);
        case spiral:
            return in_spiral(u, v, shape.detail);
    }
    return false;
}

// The share of pixel (x, y) that the shape covers, by 3x3 samples.
float coverage(const Shape2d& shape, int x, int y) {
    const float cosine = std::cos(shape.angle) / shape.radius, sine = std::sin(shape.angle) / shape.radius;
    int hits = 0;
    for (int sample = 0; sample < 9; ++sample) {
        const float dx = static_cast<float>(x) + static_cast<float>(2 * (sample % 3) + 1) / 6 - shape.x;
        const float dy = static_cast<float>(y) + static_cast<float>(2 * (sample / 3) + 1) / 6 - shape.y;
        hits += inside(shape, cosine * dx + sine * dy, cosine * dy - sine * dx) ? 1 : 0;
    }
    return static_cast<float>(hits) / 9;
}

void stamp(Picture& picture, const Shape2d& shape, const Rgb& colour, float opacity) {
    const auto bound = [](float value) { return std::clamp(static_cast<int>(value), 0, synthetic_side); };
    const float reach = 1.2f * shape.radius;  // the corners of a square and a triangle lie outside the unit circle
    for (int y = bound(shape.y - reach); y < bound(shape.y + reach + 1); ++y)
        for (int x = bound(shape.x - reach); x < bound(shape.x + reach + 1); ++x)
            picture.at(x, y) = mix(picture.at(x, y), colour, opacity * coverage(shape, x, y));
}

Shape2d draw_shape(Draws& draws, Motif kind, float least_radius, float most_radius, float margin) {
    Shape2d shape;
    shape.kind = kind;
    shape.outline = draws.below(3);
    shape.detail = draws.between(0, 1);
    shape.radius = draws.between(least_radius, most_radius);
    shape.x = draws.between(margin, synthetic_side - margin);
    shape.y = draws.between(margin, synthetic_side - margin);
    shape.angle = draws.between(0, tau);
    return shape;
}

// Two colours blending across the picture, with waves over them. Returns their mean.
Rgb paint_background(Draws& draws, Picture& picture) {
    const Rgb first = draw_colour(draws), second = mix(first, draw_colour(draws), 0.6f);
    const float direction = draws.between(0, tau), wave_direction = draws.between(0, tau);
    const float frequency = draws.between(0.2f, 1.4f), phase = draws.between(0, tau);
    const float amplitude = draws.between(0, 0.12f);
    for (int y = 0; y < synthetic_side; ++y)
        for (int x = 0; x < synthetic_side; ++x) {
            const float u = static_cast<float>(x) / synthetic_side - 0.5f,
                        v = static_cast<float>(y) / synthetic_side - 0.5f;
            const float share = 0.5f + u * std::cos(direction) + v * std::sin(direction);
            const float place = synthetic_side * (u * std::cos(wave_direction) + v * std::sin(wave_direction));
            Rgb& pixel = picture.at(x, y) = mix(first, second, std::clamp(share, 0.0f, 1.0f));
            for (float& value : pixel) value += amplitude * std::sin(frequency * place + phase);
        }
    return mix(first, second, 0.5f);
}

// Small shapes of other classes: a network must find the large one.
void paint_clutter(Draws& draws, Picture& picture, Motif label) {
    const int count = 1 + draws.below(4);
    for (int i = 0; i < count; ++i) {
        const Motif other = static_cast<Motif>((label + 1 + draws.below(class_count - 1)) % class_count);
        const Shape2d shape = draw_shape(draws, other, 2.0f, 4.5f, 1);
        stamp(picture, shape, draw_colour(draws), draws.between(0.5f, 1));
    }
}

// A bar across the picture that hides part of the shape.
void paint_bar(Draws& draws, Picture& picture) {
    const float angle = draws.between(0, tau), offset = draws.between(-7, 7), width = draws.between(1.0f, 2.5f);
    const Rgb colour = draw_colour(draws);
    for (int y = 0; y < synthetic_side; ++y)
        for (int x = 0; x < synthetic_side; ++x) {
            const float u = static_cast<float>(x) + 0.5f - synthetic_side / 2,
                        v = static_cast<float>(y) + 0.5f - synthetic_side / 2;
            const float away = std::abs(u * std::cos(angle) + v * std::sin(angle) - offset);
            picture.at(x, y) = mix(picture.at(x, y), colour, std::clamp(width + 0.5f - away, 0.0f, 1.0f));
        }
}

// Sensor noise: the sum of two uniform values per channel has a triangular distribution of standard deviation 0.41.
constexpr uint32_t noise_block = 1u << 16;  // beyond every draw of the painting

void write_noisy(const Picture& picture, const Random& random, uint64_t item, float level, uint8_t* out) {
    for (uint32_t p = 0; p < synthetic_side * synthetic_side; ++p) {
        const std::array<uint32_t, 4> words = random.block(item, noise_block + p);
        for (std::size_t channel = 0; channel < 3; ++channel) {
            const uint32_t sum = (words[channel] & 0xffff) + (words[channel] >> 16);
            const float noise = static_cast<float>(sum) / 65536.0f - 1;
            const float value = picture.pixels[p][channel] + level * noise;
            *out++ = static_cast<uint8_t>(std::lround(255 * std::clamp(value, 0.0f, 1.0f)));
        }
    }
}

void paint(const Random& random, uint64_t item, Motif label, uint8_t* out) {
    Draws draws(random, item);
    Picture picture;
    const Rgb background = paint_background(draws, picture);
    paint_clutter(draws, picture, label);
    const Shape2d shape = draw_shape(draws, label, 7.0f, 13.0f, 11);
    stamp(picture, shape, draw_contrasting(draws, background, draws.between(0.35f, 0.9f)), draws.between(0.8f, 1));
    if (draws.chance(0.4f)) paint_bar(draws, picture);
    write_noisy(picture, random, item, draws.between(0.02f, 0.2f), out);
}

template <class Number>
Number parse_number(const std::string& text, const char* what, const std::string& argument) {
    Number value{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    check(error == std::errc() && end == text.data() + text.size(), "synthetic: ", what, " '", text,
          "' in 'synthetic:", argument,
          "' is not a whole number in range; write synthetic[:SEED[:TRAIN_COUNT[:TEST_COUNT]]]");
    return value;
}

}  // namespace

Dataset make_synthetic(uint64_t seed, Split split, int64_t count) {
    check(count >= 1 && count <= most_synthetic, "synthetic: the number of images must be 1 to ", most_synthetic,
          ", got ", count);
    Dataset dataset;
    dataset.source = concat("synthetic:", seed);
    dataset.split = split;
    dataset.height = dataset.width = synthetic_side;
    dataset.class_names.assign(kind_names.begin(), kind_names.end());
    constexpr std::size_t bytes = synthetic_side * synthetic_side * 3;
    dataset.pixels.resize(static_cast<std::size_t>(count) * bytes);
    for (int64_t i = 0; i < count; ++i) dataset.labels.push_back(i % class_count);  // balanced
    const Random random(seed, Purpose::synthetic);
    const uint64_t first_item = split == Split::train ? 0 : uint64_t{1} << 32;
    parallel_for(count, [&](int64_t i) {
        paint(random, first_item + static_cast<uint64_t>(i), static_cast<Motif>(i % class_count),
              dataset.pixels.data() + static_cast<std::size_t>(i) * bytes);
    });
    return dataset;
}

Dataset load_synthetic(const std::string& argument, Split split) {
    uint64_t seed = 0;
    int64_t train_count = default_train, test_count = default_test;
    const std::size_t first = argument.find(':');
    const std::size_t second = first == std::string::npos ? first : argument.find(':', first + 1);
    const auto count_of = [&](const std::string& text) {
        const auto count = parse_number<int64_t>(text, "the number of images", argument);
        check(count >= 1 && count <= most_synthetic, "synthetic: the numbers of images must be 1 to ", most_synthetic,
              ", got ", count);
        return count;
    };
    if (!argument.empty()) seed = parse_number<uint64_t>(argument.substr(0, first), "the seed", argument);
    if (first != std::string::npos) train_count = count_of(argument.substr(first + 1, second - first - 1));
    if (second != std::string::npos) test_count = count_of(argument.substr(second + 1));
    return make_synthetic(seed, split, split == Split::train ? train_count : test_count);
}

}  // namespace lethe
