// Datasets: labelled images, held in memory as bytes or decoded from files when they are asked for.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "data/image_loader.h"
#include "tensor/random.h"
#include "tensor/tensor.h"

namespace lethe {

enum class Split { train, validation, test };
const char* name(Split split);  // "train", "validation", "test"

// All images of one split, as images of one size. They are either resident (`pixels`) or made on demand by `loader`.
struct Dataset {
    std::string source;  // the text it was loaded from, "cifar10:DIR"
    Split split = Split::train;
    int64_t channels = 3, height = 0, width = 0;
    std::vector<std::string> class_names;
    std::vector<int64_t> labels;
    std::vector<uint8_t> pixels;               // resident: [size, height, width, channels], else empty
    std::vector<std::filesystem::path> files;  // where each image comes from, if it has a file of its own
    std::shared_ptr<ImageLoader> loader;       // null when resident
    std::vector<std::string> skipped;          // one sentence for each unreadable image that was left out
    float pixel_scale = 1.0f;  // images() are value / 255 * this; 1/255 reproduces a reference that divides twice

    int64_t size() const { return static_cast<int64_t>(labels.size()); }
    int64_t classes() const { return static_cast<int64_t>(class_names.size()); }
    // [height, width, channels] bytes. Throws Error outside [0, size).
    std::vector<uint8_t> image_bytes(int64_t index) const;

    // Rows `indices` as a tensor [n, channels, height, width] of value / 255, exact to the last bit: the same for the
    // same index every time. Throws Error naming a file that cannot be decoded.
    Tensor images(std::span<const int64_t> indices) const { return request(indices).get(); }
    // The same, ready later: what is on demand is decoded meanwhile by other threads. Ask for the next batch before
    // computing with this one.
    PendingImages request(std::span<const int64_t> indices) const;

    // For training: with the random steps of the dataset's transform, where it has some (augments()); items[i]
    // addresses the random numbers of image i. Without them it is images(indices): augment_crop_flip() can follow.
    bool augments() const { return loader != nullptr && loader->transform().random(); }
    PendingImages request(std::span<const int64_t> indices, const Random& augment,
                          std::span<const uint64_t> items) const;

    Tensor labels_of(std::span<const int64_t> indices) const;  // int64 [n]
    // SHA-256 over sizes, names, labels and pixels; of images made on demand over the contents of their files instead
    // of the pixels (so all of them are read) and the transform.
    std::string hash() const;
};

// What to do about images that cannot be decoded. fail: nothing is checked in advance, and asking for such an image
// throws. skip: every image is decoded once at the start; those that fail are left out, so that indices count the
// readable ones, and are listed in Dataset::skipped.
enum class OnCorrupt { fail, skip };

struct LoadOptions {
    // Of all images; unless given, the kind's own, or `for_files` where images have files and the kind has none.
    // Without one, pixels are taken as they are.
    std::optional<Transform> transform = {};
    Transform for_files = {};
    int64_t cache_bytes = int64_t{1} << 30;  // of images to keep in memory, see data/image_cache.h
    OnCorrupt on_corrupt = OnCorrupt::fail;
};

// A kind of dataset that load_dataset knows: texts "NAME" or "NAME:ARGUMENT". A new one is a file with its `load` and a
// line in dataset_kinds(); tools then accept and list it.
struct DatasetKind {
    std::string name;
    std::string usage;        // "cifar10:DIR"
    std::string description;  // one line for --help
    // Sets class_names, labels, and either pixels with their size or files. Throws Error.
    Dataset (*load)(const std::string& argument, Split split);
    const char* transform = nullptr;  // what its images need, if it says so
    bool validation = false;          // it has images of Split::validation of its own
};
const std::vector<DatasetKind>& dataset_kinds();

// The text is one of the usages in dataset_kinds(); docs/datasets.md says what each of them reads.
// Throws Error naming the file and what is wrong with it, or a kind without validation images that is asked for them.
Dataset load_dataset(const std::string& text, Split split, const LoadOptions& options = {});

// Augments images [N,C,H,W] in place as CIFAR training does: each is zero-padded by `pad` pixels, cropped back at a
// random place and mirrored with probability 1/2. items[i] addresses the random numbers of image i (epoch and image,
// say), so the result depends on nothing else. Throws Error unless there are N items and pad >= 0.
void augment_crop_flip(Tensor& images, std::span<const uint64_t> items, int64_t pad, const Random& random);

}  // namespace lethe
