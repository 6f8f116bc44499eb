// Datasets: labelled images held in memory as bytes.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "tensor/random.h"
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
    float pixel_scale = 1.0f;  // images() are value / 255 * this; 1/255 reproduces a reference that divides twice

    int64_t size() const { return static_cast<int64_t>(labels.size()); }
    int64_t classes() const { return static_cast<int64_t>(class_names.size()); }
    std::span<const uint8_t> image_bytes(int64_t index) const;  // throws Error outside [0, size)

    // Rows `indices` as a tensor [n, channels, height, width] of value / 255, exact to the last bit.
    Tensor images(std::span<const int64_t> indices) const;
    Tensor labels_of(std::span<const int64_t> indices) const;  // int64 [n]
    std::string hash() const;                                  // SHA-256 over sizes, names, labels and pixels
};

// A kind of dataset that load_dataset knows: texts "NAME" or "NAME:ARGUMENT". A new one is a file with its `load` and a
// line in dataset_kinds(); tools then accept and list it.
struct DatasetKind {
    std::string name;
    std::string usage;                                          // "cifar10:DIR"
    std::string description;                                    // one line for --help
    Dataset (*load)(const std::string& argument, Split split);  // throws Error; need not set `source` and `split`
};
const std::vector<DatasetKind>& dataset_kinds();

// "cifar10:DIR"         data_batch_1..5.bin and test_batch.bin (3073-byte records: label, then R, G, B planes);
//                       batches.meta.txt names the classes when present. The files of the original have 10,000 records
//                       each; any whole number from 1 to that is accepted, so extracts can be used
// "folder:DIR"          DIR/train/CLASS/*.png|jpg|jpeg|bmp|ppm and DIR/test/CLASS/...; classes (those of
//                       train) and files in name order; one size, converted to RGB; other and hidden files are ignored
// "synthetic[:SEED[:TRAIN_COUNT]]"
//                       generated, see data/synthetic.h; SEED 0 and 4000 training images unless given, 1000 test images
// Throws Error naming the file and what is wrong with it.
Dataset load_dataset(const std::string& text, Split split);

const char* name(Split split);  // "train", "test"

// Augments images [N,C,H,W] in place as CIFAR training does: each is zero-padded by `pad` pixels, cropped back at a
// random place and mirrored with probability 1/2. items[i] addresses the random numbers of image i (epoch and image,
// say), so the result depends on nothing else. Throws Error unless there are N items and pad >= 0.
void augment_crop_flip(Tensor& images, std::span<const uint64_t> items, int64_t pad, const Random& random);

}  // namespace lethe
