// The IDX format of MNIST (LeCun, Cortes and Burges, http://yann.lecun.com/exdb/mnist/) and of the datasets that copy
// it.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "data/dataset_kinds.h"

namespace lethe {

// Header: 0, 0, the type (8: unsigned byte), the number of dimensions, then the dimensions as big-endian 32-bit
// integers. images: [n, height, width]; labels: [n]. Grey becomes RGB; `margin` black pixels are added on each side.
// Throws Error: another type or number of dimensions, more or fewer bytes than the header says, n that differ, images
// larger than 4096x4096, more than 2^30 pixels with the margins.
PixelBlock parse_idx(std::span<const uint8_t> images, std::span<const uint8_t> labels, int64_t margin);

// The bytes of a gzip file, or a copy of `bytes` when they are none. Throws Error when they are damaged, or would be
// more than `limit` bytes.
std::vector<uint8_t> gunzip(std::span<const uint8_t> bytes, std::size_t limit);

}  // namespace lethe
