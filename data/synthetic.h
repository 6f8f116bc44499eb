// A dataset from nothing: drawn shapes and textures, so that everything runs with no download.
#pragma once

#include <cstdint>

#include "data/dataset.h"

namespace lethe {

// 32x32 colour images of ten classes, `count` of them, generated from `seed` alone (train and test use different
// streams). Nuisances (position, size, rotation, colours, background, clutter, noise) vary enough that a small network
// memorises its training images and generalises imperfectly, as it does on CIFAR-10.
Dataset make_synthetic(uint64_t seed, Split split, int64_t count);

}  // namespace lethe
