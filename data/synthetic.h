// A dataset from nothing: drawn shapes and textures, so that everything runs with no download.
#pragma once

#include <cstdint>

#include "data/dataset.h"

namespace lethe {

// 32x32 colour images of ten classes (disc, ring, square, triangle, cross, star, stripes, checker, dots, spiral),
// `count` of them, label i % 10 for image i, generated from `seed` alone (train and test use different streams; image i
// does not depend on `count`). Nuisances (position, size, rotation, colours, background, clutter, a bar in front,
// noise) vary enough that a small network memorises its training images and generalises imperfectly, as it does on
// CIFAR-10: the demo's ResNet-8 reaches 99.8 % of 4000 training and 85.5 % of 1000 test images. Throws Error unless
// count is 1 to 1,000,000.
Dataset make_synthetic(uint64_t seed, Split split, int64_t count);

}  // namespace lethe
