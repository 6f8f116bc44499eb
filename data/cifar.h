// CIFAR-10 and CIFAR-100 (Krizhevsky, "Learning multiple layers of features from tiny images", 2009), in the binary
// version and in the one of Python pickles: https://www.cs.toronto.edu/~kriz/cifar.html
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "data/dataset_kinds.h"

namespace lethe {

enum class CifarLabels { cifar10, coarse, fine };

int64_t class_count(CifarLabels labels);                            // 10, 20, 100
const std::vector<std::string>& default_names(CifarLabels labels);  // for folders without a file of names
// "DIR", "DIR:coarse" or "DIR:fine" (the default). Throws Error, calling the dataset `kind`, when there is no folder.
struct CifarFolder {
    std::filesystem::path folder;
    CifarLabels labels;
};
CifarFolder parse_cifar_folder(const std::string& argument, const std::string& kind);

// Binary records: one label byte (CIFAR-100: coarse, then fine), then the planes R, G, B of 32x32 bytes each. Throws
// Error: no whole number of records, more than 50,000 of them, or a label that is none.
PixelBlock parse_cifar(std::span<const uint8_t> bytes, CifarLabels labels);
// A pickled batch: a dictionary with "data", a NumPy array [n, 3072] of bytes (planes R, G, B), and the list "labels"
// (CIFAR-100: "coarse_labels" and "fine_labels"), as Python 2 and Python 3 write them. Nothing in it is executed.
// Throws Error as above, and for a pickle of something else.
PixelBlock parse_cifar_pickle(std::span<const uint8_t> bytes, CifarLabels labels);

// Appends `planes` (R, G, B of 32x32) as interleaved pixels.
void append_planes(std::span<const uint8_t> planes, std::vector<uint8_t>& pixels);

}  // namespace lethe
