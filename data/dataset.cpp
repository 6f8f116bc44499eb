#include "data/dataset.h"

#include <array>

#include "data/dataset_kinds.h"
#include "data/file.h"
#include "tensor/error.h"

namespace lethe {
namespace {

// value / 255 in float, as torchvision's ToTensor computes it; multiplying by 1/255 would differ in the last bit.
std::array<float, 256> byte_values() {
    std::array<float, 256> values;
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i) / 255.0f;
    return values;
}

std::string known_usages() {
    std::string text;
    for (const DatasetKind& kind : dataset_kinds()) text += (text.empty() ? "" : ", ") + kind.usage;
    return text;
}

std::string sha256_text(const std::string& text) {
    return sha256({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
}

}  // namespace

const std::vector<DatasetKind>& dataset_kinds() {
    static const std::vector<DatasetKind> kinds{
        {"cifar10", "cifar10:DIR", "CIFAR-10 binary batches (data_batch_1..5.bin, test_batch.bin)", load_cifar10},
        {"folder", "folder:DIR", "image files in DIR/train/CLASS and DIR/test/CLASS", load_folder},
        {"synthetic", "synthetic[:SEED[:TRAIN_COUNT]]", "drawn shapes, generated: needs no files", load_synthetic},
    };
    return kinds;
}

const char* name(Split split) { return split == Split::train ? "train" : "test"; }

Dataset load_dataset(const std::string& text, Split split) {
    const std::size_t colon = text.find(':');
    const std::string kind_name = text.substr(0, colon);
    const std::string argument = colon == std::string::npos ? "" : text.substr(colon + 1);
    for (const DatasetKind& kind : dataset_kinds()) {
        if (kind.name != kind_name) continue;
        Dataset dataset = kind.load(argument, split);
        dataset.source = text;
        dataset.split = split;
        return dataset;
    }
    fail("dataset: unknown kind '", kind_name, "' in '", text, "'; known are ", known_usages());
}

std::span<const uint8_t> Dataset::image_bytes(int64_t index) const {
    check(index >= 0 && index < size(), "dataset: image ", index, " of ", size(), " (", source, ", ", name(split), ")");
    const std::size_t bytes = static_cast<std::size_t>(channels * height * width);
    return {pixels.data() + static_cast<std::size_t>(index) * bytes, bytes};
}

Tensor Dataset::images(std::span<const int64_t> indices) const {
    static const std::array<float, 256> values = byte_values();
    Tensor tensor = Tensor::empty({static_cast<int64_t>(indices.size()), channels, height, width});
    float* out = tensor.mutable_data();  // channels-last, as the bytes are
    for (const int64_t index : indices)
        for (const uint8_t byte : image_bytes(index)) *out++ = values[byte] * pixel_scale;
    return tensor;
}

Tensor Dataset::labels_of(std::span<const int64_t> indices) const {
    Tensor tensor = Tensor::empty({static_cast<int64_t>(indices.size())}, DType::int64);
    int64_t* out = tensor.mutable_int64_data();
    for (const int64_t index : indices) {
        check(index >= 0 && index < size(), "dataset: label ", index, " of ", size());
        *out++ = labels[static_cast<std::size_t>(index)];
    }
    return tensor;
}

// A hash of hashes, so that the pixels need not be copied behind the rest.
std::string Dataset::hash() const {
    std::string text = concat(channels, ' ', height, ' ', width, ' ', size(), '\n');
    for (const std::string& class_name : class_names) text += class_name + '\n';
    for (const int64_t label : labels) text += concat(label, '\n');
    return sha256_text(text + sha256(pixels));
}

}  // namespace lethe
