// What happens to an image between its file and the network: resize, crop, flip. Normalisation is the model's first
// layer, so pixels stay bytes here.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "data/image_file.h"
#include "data/resize.h"
#include "tensor/random.h"

namespace lethe {

// In this order, as torchvision's transforms of the same names do: resize, zero padding, crop, flip. 0 leaves a step
// out; at most one of `resize` and `resize_exact`, and of `crop` and `random_crop`, is set.
struct Transform {
    int64_t resize = 0;                         // the shorter side; the longer becomes floor(resize * longer / shorter)
    std::array<int64_t, 2> resize_exact{0, 0};  // height, width
    Interpolation interpolation = Interpolation::bilinear;
    int64_t pad = 0;          // zeros on every side, before the crop
    int64_t crop = 0;         // side of a square from the middle; what lies outside the image is zero
    int64_t random_crop = 0;  // side of a square from a random place
    bool flip = false;        // mirror left and right with probability 1/2

    bool empty() const { return *this == Transform{}; }
    bool random() const { return random_crop > 0 || flip; }
    bool operator==(const Transform&) const = default;
};

// Comma-separated steps: "resize=256" or "resize=HxW", "bilinear" or "bicubic", "pad=4", "crop=224" or
// "random-crop=32", "flip"; "none"; or the name of a preset alone. Throws Error naming the step that is wrong.
Transform parse_transform(std::string_view text);

// The text of the transform in the order of its steps, "none" if empty; parse_transform reads it back.
std::string describe(const Transform& transform);

// What published models were evaluated with.
struct TransformPreset {
    const char* name;
    const char* text;
    const char* models;
};
std::span<const TransformPreset> transform_presets();

// Height and width of the result for an image of height x width. Throws Error if that has more than 2^26 pixels.
std::array<int64_t, 2> size_after(const Transform& transform, int64_t height, int64_t width);

// The transformed image. Random steps draw from `augment` (of Purpose::augment) at `item`: index 0 the crop's row, 1
// its column, 2 the flip, as augment_crop_flip() does; the result depends on nothing else. Without `augment` a random
// crop is taken from the middle and nothing is mirrored. Throws Error if the image is empty or the transform
// contradictory, if a random crop is larger than the padded image, or as size_after().
ImageBytes apply(const Transform& transform, const ImageBytes& image, const Random* augment = nullptr,
                 uint64_t item = 0);

}  // namespace lethe
