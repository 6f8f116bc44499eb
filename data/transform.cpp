#include "data/transform.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <set>
#include <string_view>
#include <vector>

#include "tensor/error.h"

namespace lethe {
namespace {

constexpr int64_t longest_side = 1 << 16;

constexpr TransformPreset presets[] = {
    {"imagenet", "resize=256,bilinear,crop=224", "torchvision's ImageNet models"},
    {"vit", "resize=224x224,bilinear", "Hugging Face's ViT"},
    {"imagenet-train", "resize=256,bilinear,random-resized-crop=224,flip", "training on ImageNet"},
    {"cifar-train", "pad=4,random-crop=32,flip", "training on CIFAR"},
};

std::string preset_names() {
    std::string names;
    for (const TransformPreset& preset : presets) names += (names.empty() ? "" : ", ") + std::string(preset.name);
    return names;
}

// A side of 1 to 65536 pixels.
int64_t parse_side(std::string_view digits, std::string_view step) {
    int64_t value = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    check(error == std::errc() && end == digits.data() + digits.size() && value >= 1 && value <= longest_side,
          "transform: ", step, " wants whole numbers of pixels from 1 to ", longest_side);
    return value;
}

void parse_resize(std::string_view value, std::string_view step, Transform& transform) {
    const std::size_t times = value.find('x');
    if (times == std::string_view::npos)
        transform.resize = parse_side(value, step);
    else
        transform.resize_exact = {parse_side(value.substr(0, times), step), parse_side(value.substr(times + 1), step)};
}

void parse_step(std::string_view step, Transform& transform) {
    const std::size_t equals = step.find('=');
    const std::string_view name = step.substr(0, equals);
    if (step == "bilinear")
        transform.interpolation = Interpolation::bilinear;
    else if (step == "bicubic")
        transform.interpolation = Interpolation::bicubic;
    else if (step == "flip")
        transform.flip = true;
    else if (equals == std::string_view::npos)
        fail("transform: \"", step, "\" is not a step; resize=N, resize=HxW, bilinear, bicubic, pad=N, crop=N, ",
             "random-crop=N, random-resized-crop=N and flip are, or one of the presets ", preset_names());
    else if (name == "resize")
        parse_resize(step.substr(equals + 1), step, transform);
    else if (name == "pad")
        transform.pad = parse_side(step.substr(equals + 1), step);
    else if (name == "crop")
        transform.crop = parse_side(step.substr(equals + 1), step);
    else if (name == "random-crop")
        transform.random_crop = parse_side(step.substr(equals + 1), step);
    else if (name == "random-resized-crop")
        transform.random_resized_crop = parse_side(step.substr(equals + 1), step);
    else
        fail("transform: \"", name, "\" takes no value or is no step; resize, pad, crop, random-crop and ",
             "random-resized-crop do");
}

void check_consistent(const Transform& transform) {
    check(transform.resize == 0 || transform.resize_exact[0] == 0,
          "transform: it resizes both the shorter side and to an exact size; one is enough");
    check((transform.crop > 0) + (transform.random_crop > 0) + (transform.random_resized_crop > 0) <= 1,
          "transform: it has more than one of crop, random-crop and random-resized-crop; one is enough");
    for (const int64_t side : {transform.resize, transform.resize_exact[0], transform.resize_exact[1], transform.pad,
                               transform.crop, transform.random_crop, transform.random_resized_crop})
        check(side >= 0 && side <= longest_side, "transform: a side of ", side, " pixels; at most ", longest_side);
    check((transform.resize_exact[0] == 0) == (transform.resize_exact[1] == 0),
          "transform: an exact size needs a height and a width");
}

struct Size {
    int64_t height, width;
};

Size resized(const Transform& transform, Size from) {
    if (transform.resize_exact[0] > 0) return {transform.resize_exact[0], transform.resize_exact[1]};
    if (transform.resize == 0) return from;
    const int64_t shorter = std::min(from.height, from.width), longer = std::max(from.height, from.width);
    const int64_t new_longer = transform.resize * longer / shorter;
    return from.width <= from.height ? Size{new_longer, transform.resize} : Size{transform.resize, new_longer};
}

void check_size(Size size) {
    check(size.height <= most_image_pixels && size.width <= most_image_pixels &&
              size.height * size.width <= most_image_pixels,
          "transform: the result would have ", size.width, "x", size.height, " pixels; at most 2^26 are supported");
}

// Half of `difference`, halves to the even number: where torchvision puts a crop from the middle.
int64_t middle(int64_t difference) {
    const int64_t down = difference / 2;
    return difference % 2 != 0 && down % 2 != 0 ? down + 1 : down;
}

// Where a centre crop of `side` begins along an axis of `length`; negative when it sticks out. Then torchvision pads
// the smaller half before the image.
int64_t centre(int64_t length, int64_t side) { return side > length ? -((side - length) / 2) : middle(length - side); }

// The window of the resized image to be kept, which may stick out of it.
Window place(const Transform& transform, Size size, const Random* augment, uint64_t item) {
    const int64_t pad = transform.pad;
    const Size padded{size.height + 2 * pad, size.width + 2 * pad};
    const int64_t side = std::max({transform.crop, transform.random_crop, transform.random_resized_crop});
    if (side == 0) return {-pad, -pad, padded.height, padded.width};
    if (transform.random_crop == 0 || augment == nullptr)
        return {centre(padded.height, side) - pad, centre(padded.width, side) - pad, side, side};
    check(padded.height >= side && padded.width >= side, "transform: a random crop of ", side, "x", side,
          " pixels from an image of ", padded.width, "x", padded.height, " (padding included); resize it first");
    return {augment->below(padded.height - side + 1, item, 0) - pad,
            augment->below(padded.width - side + 1, item, 1) - pad, side, side};
}

// `inside`, which lies at (top, left) of a picture of zeros.
ImageBytes on_zeros(const ImageBytes& inside, int64_t top, int64_t left, Size size) {
    ImageBytes out{size.height, size.width,
                   std::vector<uint8_t>(static_cast<std::size_t>(size.height * size.width * 3))};
    for (int64_t y = 0; y < inside.height; ++y)
        std::copy_n(inside.pixels.data() + y * inside.width * 3, inside.width * 3,
                    out.pixels.data() + ((top + y) * size.width + left) * 3);
    return out;
}

// The part of [start, start + length) that lies in [0, limit), moved there if there is none.
int64_t overlap(int64_t& start, int64_t length, int64_t limit) {
    const int64_t end = std::min(start + length, limit);
    start = std::max(start, int64_t{0});
    return std::max(end - start, int64_t{0});
}

ImageBytes cut(const ImageBytes& image, const Window& window) {
    ImageBytes out{window.height, window.width, {}};
    out.pixels.reserve(static_cast<std::size_t>(window.height * window.width * 3));
    for (int64_t y = window.top; y < window.top + window.height; ++y) {
        const auto row = image.pixels.begin() + (y * image.width + window.left) * 3;
        out.pixels.insert(out.pixels.end(), row, row + window.width * 3);
    }
    return out;
}

void mirror(ImageBytes& image) {
    for (int64_t y = 0; y < image.height; ++y) {
        uint8_t* left = image.pixels.data() + y * image.width * 3;
        uint8_t* right = left + (image.width - 1) * 3;
        for (; left < right; left += 3, right -= 3) std::swap_ranges(left, left + 3, right);
    }
}

}  // namespace

std::span<const TransformPreset> transform_presets() { return presets; }

Transform parse_transform(std::string_view text) {
    for (const TransformPreset& preset : presets)
        if (text == preset.name) return parse_transform(preset.text);
    Transform transform;
    if (text == "none") return transform;
    std::set<std::string_view> seen;
    for (std::size_t begin = 0; begin <= text.size();) {
        const std::size_t end = std::min(text.find(',', begin), text.size());
        const std::string_view step = text.substr(begin, end - begin);
        std::string_view kind = step.substr(0, step.find('='));
        if (kind == "bicubic" || kind == "bilinear") kind = "an interpolation";
        check(seen.insert(kind).second, "transform: it has ", kind, " twice; once is enough");
        parse_step(step, transform);
        begin = end + 1;
    }
    check_consistent(transform);
    return transform;
}

std::string describe(const Transform& transform) {
    std::string text;
    const auto add = [&](const auto&... parts) { text += concat(text.empty() ? "" : ",", parts...); };
    const bool resizes = transform.resize > 0 || transform.resize_exact[0] > 0;
    if (transform.resize > 0) add("resize=", transform.resize);
    if (transform.resize_exact[0] > 0) add("resize=", transform.resize_exact[0], "x", transform.resize_exact[1]);
    if (transform.interpolation == Interpolation::bicubic)
        add("bicubic");
    else if (resizes)
        add("bilinear");
    if (transform.pad > 0) add("pad=", transform.pad);
    if (transform.crop > 0) add("crop=", transform.crop);
    if (transform.random_crop > 0) add("random-crop=", transform.random_crop);
    if (transform.random_resized_crop > 0) add("random-resized-crop=", transform.random_resized_crop);
    if (transform.flip) add("flip");
    return text.empty() ? "none" : text;
}

std::array<int64_t, 2> size_after(const Transform& transform, int64_t height, int64_t width) {
    check(height > 0 && width > 0, "transform: an image of ", width, "x", height, " pixels");
    check_consistent(transform);
    const Size size = resized(transform, {height, width});
    check_size(size);
    const Window window = place(transform, size, nullptr, 0);
    check_size({window.height, window.width});
    return {window.height, window.width};
}

Window draw_rectangle(int64_t height, int64_t width, const Random& random, uint64_t item) {
    constexpr double least_area = 0.08, least_ratio = 3.0 / 4.0, largest_ratio = 4.0 / 3.0;
    const auto round = [](double value) { return static_cast<int64_t>(std::nearbyint(value)); };
    const double all = static_cast<double>(height) * static_cast<double>(width);
    for (uint32_t draw = 0; draw < 10; ++draw) {
        const double share = least_area + (1.0 - least_area) * static_cast<double>(random.uniform(item, 3 + 2 * draw));
        const double log_ratio = std::log(least_ratio) + (std::log(largest_ratio) - std::log(least_ratio)) *
                                                             static_cast<double>(random.uniform(item, 4 + 2 * draw));
        const double area = all * share, ratio = std::exp(log_ratio);
        const int64_t w = round(std::sqrt(area * ratio)), h = round(std::sqrt(area / ratio));
        if (w < 1 || w > width || h < 1 || h > height) continue;
        return {random.below(height - h + 1, item, 0), random.below(width - w + 1, item, 1), h, w};
    }
    const double ratio = static_cast<double>(width) / static_cast<double>(height);
    const double allowed = std::clamp(ratio, least_ratio, largest_ratio);
    const int64_t w = ratio > allowed ? std::max<int64_t>(round(static_cast<double>(height) * allowed), 1) : width;
    const int64_t h = ratio < allowed ? std::max<int64_t>(round(static_cast<double>(width) / allowed), 1) : height;
    return {(height - h) / 2, (width - w) / 2, h, w};
}

namespace {

// Everything but the flip.
ImageBytes resize_and_crop(const Transform& transform, const ImageBytes& image, const Random* augment, uint64_t item) {
    if (transform.random_resized_crop > 0 && augment != nullptr) {
        const int64_t side = transform.random_resized_crop;
        return resize(cut(image, draw_rectangle(image.height, image.width, *augment, item)), side, side,
                      transform.interpolation);
    }
    const Size size = resized(transform, {image.height, image.width});
    const Window wanted = place(transform, size, augment, item);
    Window inside = wanted;
    inside.height = overlap(inside.top, wanted.height, size.height);
    inside.width = overlap(inside.left, wanted.width, size.width);
    ImageBytes out;
    if (inside.height > 0 && inside.width > 0)
        out = resize(image, size.height, size.width, transform.interpolation, inside);
    if (out.height != wanted.height || out.width != wanted.width)
        out = on_zeros(out, inside.top - wanted.top, inside.left - wanted.left, {wanted.height, wanted.width});
    return out;
}

}  // namespace

ImageBytes apply(const Transform& transform, const ImageBytes& image, const Random* augment, uint64_t item) {
    size_after(transform, image.height, image.width);  // for its checks
    check(static_cast<int64_t>(image.pixels.size()) == image.height * image.width * 3,
          "transform: ", image.pixels.size(), " bytes for an RGB image of ", image.width, "x", image.height, " pixels");
    ImageBytes out = resize_and_crop(transform, image, augment, item);
    if (transform.flip && augment != nullptr && augment->uniform(item, 2) < 0.5f) mirror(out);
    return out;
}

}  // namespace lethe
