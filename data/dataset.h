// Datasets: labelled images held in memory as bytes.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "tensor/tensor.h"

namespace lethe {

enum class Split { train, test };

// All images of one split, one size. Pixels are bytes, [size, height, width, channels] in memory.
struct Dataset {
    std::string source;  // the text it was loaded from, "cifar10:DIR"
    Split split = Split::train;
    int64_t channels = 3, height = 0, width = 0;
    std::vector<std::string> class_names;
    std::vector<int64_t> labels;
    std::vector<uint8_t> pixels;

    int64_t size() const { return static_cast<int64_t>(labels.size()); }
    int64_t classes() const { return static_cast<int64_t>(class_names.size()); }
    std::span<const uint8_t> image_bytes(int64_t index) const;  // throws Error outside [0, size)

    // Rows `indices` as a tensor [n, channels, height, width] of value / 255, exact to the last bit.
    Tensor images(std::span<const int64_t> indices) const;
    Tensor labels_of(std::span<const int64_t> indices) const;  // int64 [n]
    std::string hash() const;                                  // SHA-256 over sizes, labels and pixels
};

// "cifar10:DIR"        data_batch_1..5.bin and test_batch.bin (3073-byte records: label, then R, G, B planes);
//                      batches.meta.txt names the classes when present
// "folder:DIR"         DIR/train/CLASS/*.png|jpg|jpeg|bmp|ppm and DIR/test/...; classes and files in name order; one
// size "synthetic[:SEED]"   generated; see data/synthetic.h Throws Error naming the file and what is wrong with it.
Dataset load_dataset(const std::string& text, Split split);

// One image augmented as CIFAR training does: zero-padded by `pad` pixels, cropped back at a random place, mirrored
// with probability 1/2. `item` addresses the random numbers (epoch and image), so the result depends on nothing else.
// Works in place on row `row` of images [N,C,H,W].
class Random;
void augment_crop_flip(Tensor& images, std::span<const uint64_t> items, int64_t pad, const Random& random);

}  // namespace lethe
