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
// out; at most one of `resize` and `resize_exact`, and of the three crops, is set.
struct Transform {
    int64_t resize = 0;                         // the shorter side; the longer becomes floor(resize * longer / shorter)
    std::array<int64_t, 2> resize_exact{0, 0};  // height, width
    Interpolation interpolation = Interpolation::bilinear;
    int64_t pad = 0;          // zeros on every side, before the crop
    int64_t crop = 0;         // side of a square from the middle; what lies outside the image is zero
    int64_t random_crop = 0;  // side of a square from a random place
    // Side of a square into which a random rectangle of the untouched image is resized, see draw_rectangle(); no other
    // step but flip then happens. Where nothing is random it is `crop`, after the other steps.
    int64_t random_resized_crop = 0;
    bool flip = false;  // mirror left and right with probability 1/2

    bool empty() const { return *this == Transform{}; }
    bool random() const { return random_crop > 0 || random_resized_crop > 0 || flip; }
    bool operator==(const Transform&) const = default;
};

// Comma-separated steps: "resize=256" or "resize=HxW", "bilinear" or "bicubic", "pad=4", "crop=224",
// "random-crop=32" or "random-resized-crop=224", "flip"; "none"; or the name of a preset alone. Throws Error naming the
// step that is wrong.
Transform parse_transform(std::string_view text);

// The text of the transform in the order of its steps, "none" if empty; parse_transform reads it back.
std::string describe(const Transform& transform);

// What published models were evaluated or trained with.
struct TransformPreset {
    const char* name;
    const char* text;
    const char* models;
};
std::span<const TransformPreset> transform_presets();

// Height and width of the result for an image of height x width. Throws Error if that has more than 2^26 pixels.
std::array<int64_t, 2> size_after(const Transform& transform, int64_t height, int64_t width);

// The rectangle of a height x width image that random_resized_crop takes, as torchvision's RandomResizedCrop draws it
// (Szegedy et al., "Going deeper with convolutions", CVPR 2015): a share of the area, uniform in [0.08, 1], and a ratio
// of width to height, uniform in its logarithm in [3/4, 4/3]; width = round(sqrt(area * ratio)), height =
// round(sqrt(area / ratio)), halves to the even number. Up to ten draws until it fits; then the largest rectangle from
// the middle with the nearest ratio that is allowed. Draw t takes index 3 + 2t of `random` at `item` for the area and
// 4 + 2t for the ratio; the place takes 0 (row) and 1 (column).
Window draw_rectangle(int64_t height, int64_t width, const Random& random, uint64_t item);

// The transformed image. Random steps draw from `augment` (of Purpose::augment) at `item`: index 0 the crop's row, 1
// its column, 2 the flip, as augment_crop_flip() does; the result depends on nothing else. Without `augment` a random
// crop is taken from the middle and nothing is mirrored. Throws Error if the image is empty or the transform
// contradictory, if a random crop is larger than the padded image, or as size_after().
ImageBytes apply(const Transform& transform, const ImageBytes& image, const Random* augment = nullptr,
                 uint64_t item = 0);

}  // namespace lethe
