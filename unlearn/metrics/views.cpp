#include <algorithm>
#include <cmath>

#include "data/image_file.h"
#include "tensor/error.h"
#include "tensor/parallel.h"
#include "tensor/random.h"
#include "unlearn/metrics/reemergence.h"

namespace lethe {
namespace {

// One image [H,W,3] as it lies in memory.
struct Picture {
    int64_t height, width;
    const float* pixels;
    const float* at(int64_t y, int64_t x) const { return pixels + (y * width + x) * 3; }
    std::size_t size() const { return static_cast<std::size_t>(height * width * 3); }
};

// The random numbers of one draw of one view of one image.
struct Draws {
    Random random;
    uint64_t item;
    float uniform(uint32_t index) const { return random.uniform(item, index); }
    int64_t below(int64_t bound, uint32_t index) const { return random.below(bound, item, index); }
    float normal(uint32_t index) const { return random.normal(item, index); }
};

// Noise is numbered from here, so that what is drawn once per image has room below.
constexpr uint32_t first_noise = 16;

uint8_t to_byte(float value) { return static_cast<uint8_t>(std::lround(std::clamp(value, 0.0f, 1.0f) * 255.0f)); }

std::vector<uint8_t> to_bytes(const Picture& picture) {
    std::vector<uint8_t> bytes(picture.size());
    std::transform(picture.pixels, picture.pixels + picture.size(), bytes.begin(), to_byte);
    return bytes;
}

void from_bytes(std::span<const uint8_t> bytes, float* out) {
    std::transform(bytes.begin(), bytes.end(), out, [](uint8_t byte) { return static_cast<float>(byte) / 255.0f; });
}

void flip_view(const Picture& in, float* out) {
    for (int64_t y = 0; y < in.height; ++y)
        for (int64_t x = 0; x < in.width; ++x, out += 3) std::copy_n(in.at(y, in.width - 1 - x), 3, out);
}

// ... 2 1 | 0 1 2 ... : the edge itself is not repeated.
int64_t reflected(int64_t i, int64_t size) {
    if (i < 0) return -i;
    return i >= size ? 2 * size - 2 - i : i;
}

void shift_view(const Picture& in, int64_t dy, int64_t dx, bool reflect, float* out) {
    for (int64_t y = 0; y < in.height; ++y)
        for (int64_t x = 0; x < in.width; ++x, out += 3) {
            const int64_t from_y = y - dy, from_x = x - dx;
            const bool inside = from_y >= 0 && from_y < in.height && from_x >= 0 && from_x < in.width;
            if (inside || reflect)
                std::copy_n(in.at(reflected(from_y, in.height), reflected(from_x, in.width)), 3, out);
            else
                std::fill_n(out, 3, 0.0f);
        }
}

// The window [top, top + rows) x [left, left + columns) as large as the whole: pixel centres, edges held.
void resized_window(const Picture& in, int64_t top, int64_t left, int64_t rows, int64_t columns, float* out) {
    const auto place = [](int64_t i, int64_t from, int64_t to) {
        const float at = (static_cast<float>(i) + 0.5f) * static_cast<float>(from) / static_cast<float>(to) - 0.5f;
        return std::clamp(at, 0.0f, static_cast<float>(from - 1));
    };
    for (int64_t y = 0; y < in.height; ++y) {
        const float v = place(y, rows, in.height);
        const auto y0 = static_cast<int64_t>(v), y1 = std::min(y0 + 1, rows - 1);
        const float fy = v - static_cast<float>(y0);
        for (int64_t x = 0; x < in.width; ++x, out += 3) {
            const float u = place(x, columns, in.width);
            const auto x0 = static_cast<int64_t>(u), x1 = std::min(x0 + 1, columns - 1);
            const float fx = u - static_cast<float>(x0);
            for (int c = 0; c < 3; ++c) {
                const auto value = [&](int64_t i, int64_t j) { return in.at(top + i, left + j)[c]; };
                const float upper = value(y0, x0) * (1 - fx) + value(y0, x1) * fx;
                const float lower = value(y1, x0) * (1 - fx) + value(y1, x1) * fx;
                out[c] = upper * (1 - fy) + lower * fy;
            }
        }
    }
}

void crop_view(const Picture& in, const Draws& draws, float share, float* out) {
    const auto part = [&](int64_t side) { return std::max<int64_t>(1, std::lround(static_cast<float>(side) * share)); };
    const int64_t rows = part(in.height), columns = part(in.width);
    resized_window(in, draws.below(in.height - rows + 1, 0), draws.below(in.width - columns + 1, 1), rows, columns,
                   out);
}

void add_noise(const Draws& draws, float deviation, std::span<float> pixels) {
    for (std::size_t i = 0; i < pixels.size(); ++i)
        pixels[i] =
            std::clamp(pixels[i] + deviation * draws.normal(first_noise + static_cast<uint32_t>(i)), 0.0f, 1.0f);
}

void add_brightness(float change, std::span<float> pixels) {
    for (float& value : pixels) value = std::clamp(value + change, 0.0f, 1.0f);
}

void jpeg_view(const Picture& in, int quality, float* out) {
    const std::vector<uint8_t> file = encode_jpeg(in.height, in.width, to_bytes(in), quality);
    from_bytes(decode_image(file).pixels, out);
}

// (dy, dx) other than (0, 0): one of (2 most + 1)^2 - 1, the middle one being left out.
std::pair<int64_t, int64_t> drawn_shift(const Draws& draws, int64_t most) {
    const int64_t side = 2 * most + 1, middle = side * side / 2;
    int64_t number = draws.below(side * side - 1, 0);
    if (number >= middle) ++number;
    return {number / side - most, number % side - most};
}

void weak_view(const Picture& in, const Draws& draws, const ViewOptions& options, float* out) {
    const int64_t side = 2 * options.shift + 1;
    std::vector<float> mirrored(in.pixels, in.pixels + in.size());
    if (draws.below(2, 0) == 1) flip_view(in, mirrored.data());
    shift_view({in.height, in.width, mirrored.data()}, draws.below(side, 1) - options.shift,
               draws.below(side, 2) - options.shift, false, out);
    add_noise(draws, options.noise, {out, in.size()});
}

void make_view(const std::string& view, const Picture& in, const Draws& draws, const ViewOptions& options, float* out) {
    if (view == "flip") return flip_view(in, out);
    if (view == "shift-zero" || view == "shift-reflect") {
        const auto [dy, dx] = drawn_shift(draws, options.shift);
        return shift_view(in, dy, dx, view == "shift-reflect", out);
    }
    if (view == "crop") return crop_view(in, draws, options.crop, out);
    if (view == "jpeg75") return jpeg_view(in, 75, out);
    if (view == "jpeg50") return jpeg_view(in, 50, out);
    if (view == "round8") return from_bytes(to_bytes(in), out);
    if (view == "weak") return weak_view(in, draws, options, out);
    std::copy_n(in.pixels, in.size(), out);
    if (view == "noise") return add_noise(draws, options.noise, {out, in.size()});
    add_brightness(view == "brighter" ? options.brightness : -options.brightness, {out, in.size()});
}

}  // namespace

void ViewOptions::validate() const {
    check(draws >= 1 && draws <= 256, "views: draws must be 1 to 256, got ", draws);
    check(shift >= 1 && shift <= 1024, "views: shift must be 1 to 1024 pixels, got ", shift);
    check(crop > 0 && crop <= 1, "views: crop must be above 0 and at most 1, got ", crop);
    check(noise >= 0 && noise <= 1, "views: noise must be 0 to 1, got ", noise);
    check(brightness >= 0 && brightness <= 1, "views: brightness must be 0 to 1, got ", brightness);
}

const std::vector<View>& views() {
    static const std::vector<View> list{{"flip", "mirrored left to right"},
                                        {"shift-zero", "moved by up to 3 pixels, black comes in", true},
                                        {"shift-reflect", "moved by up to 3 pixels, reflected at the edge", true},
                                        {"crop", "7/8 of the side, resized back", true},
                                        {"noise", "Gaussian, deviation 0.03", true},
                                        {"brighter", "+ 0.1"},
                                        {"darker", "- 0.1"},
                                        {"jpeg75", "JPEG of quality 75"},
                                        {"jpeg50", "JPEG of quality 50"},
                                        {"round8", "rounded to 8 bits"},
                                        {"weak", "random flip, shift and noise together", true}};
    return list;
}

Tensor view_of(const std::string& view, const Tensor& images, std::span<const uint64_t> items, int64_t draw,
               const ViewOptions& options) {
    options.validate();
    check(images.defined() && images.rank() == 4 && images.dim(1) == 3, "views: images must be [N,3,H,W]");
    check(static_cast<int64_t>(items.size()) == images.dim(0), "views: ", items.size(), " items for ", images.dim(0),
          " images");
    check(images.dim(2) > options.shift && images.dim(3) > options.shift, "views: images of ", images.dim(2), "x",
          images.dim(3), " pixels cannot be shifted by ", options.shift, "; both sides must be larger");
    check(draw >= 0 && draw < 256, "views: draw must be 0 to 255, got ", draw);
    const auto known =
        std::find_if(views().begin(), views().end(), [&](const View& each) { return each.name == view; });
    if (known == views().end()) {
        std::string names;
        for (const View& each : views()) names += (names.empty() ? "" : ", ") + each.name;
        fail("views: unknown view '", view, "'; known ones are ", names);
    }
    const auto number = static_cast<uint64_t>(known - views().begin());
    Tensor result = Tensor::empty(images.shape());
    const int64_t height = images.dim(2), width = images.dim(3), size = height * width * 3;
    const float* from = images.data();
    float* to = result.mutable_data();
    parallel_for(images.dim(0), [&](int64_t i) {
        const Draws draws{Random(options.seed, Purpose::view),
                          items[static_cast<std::size_t>(i)] << 16 | number << 8 | static_cast<uint64_t>(draw)};
        make_view(view, {height, width, from + i * size}, draws, options, to + i * size);
    });
    return result;
}

}  // namespace lethe
