#include "data/dataset.h"

#include <algorithm>

#include "data/dataset_kinds.h"
#include "data/file.h"
#include "data/image_sources.h"
#include "tensor/error.h"
#include "tensor/parallel.h"

namespace lethe {
namespace {

std::string known_usages() {
    std::string text;
    for (const DatasetKind& kind : dataset_kinds()) text += (text.empty() ? "" : ", ") + kind.usage;
    return text;
}

std::string sha256_text(const std::string& text) {
    return sha256({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
}

// Decodes every image once and leaves out those that fail.
void leave_out_unreadable(Dataset& dataset) {
    std::vector<std::string> errors(dataset.files.size());
    parallel_for(dataset.size(), [&](int64_t i) {
        const auto at = static_cast<std::size_t>(i);
        try {
            read_image(dataset.files[at]);
        } catch (const Error& error) {
            errors[at] = error.what();
        }
    });
    std::size_t kept = 0;
    for (std::size_t i = 0; i < errors.size(); ++i) {
        if (!errors[i].empty()) {
            dataset.skipped.push_back(errors[i]);
            continue;
        }
        std::swap(dataset.files[kept], dataset.files[i]);
        dataset.labels[kept++] = dataset.labels[i];
    }
    check(kept > 0, "dataset: none of the ", errors.size(), " images can be read; ", errors.front());
    dataset.files.resize(kept);
    dataset.labels.resize(kept);
}

Transform choose_transform(const DatasetKind& kind, bool has_files, const LoadOptions& options) {
    if (options.transform) return *options.transform;
    if (kind.transform != nullptr) return parse_transform(kind.transform);
    return has_files ? options.for_files : Transform{};
}

void make_loader(Dataset& dataset, const Transform& transform, int64_t cache_bytes) {
    std::unique_ptr<const ImageSource> source;
    if (dataset.files.empty())
        source = std::make_unique<PixelImages>(std::exchange(dataset.pixels, {}), dataset.height, dataset.width);
    else
        source = std::make_unique<FileImages>(dataset.files);
    dataset.loader = std::make_shared<ImageLoader>(std::move(source), transform, cache_bytes);
    dataset.height = dataset.loader->height();
    dataset.width = dataset.loader->width();
}

}  // namespace

const std::vector<DatasetKind>& dataset_kinds() {
    static const std::vector<DatasetKind> kinds{
        {"cifar10", "cifar10:DIR", "CIFAR-10, binary version", load_cifar10},
        {"cifar100", "cifar100:DIR[:coarse]", "CIFAR-100, binary version, with 100 fine or 20 coarse labels",
         load_cifar100},
        {"cifar-pickle", "cifar-pickle:DIR[:coarse]", "CIFAR-10 or CIFAR-100, version for Python", load_cifar_pickle},
        {"csv", "csv:FILE[:FILE]", "image files listed as file,label,split, or in one list for each split", load_csv},
        {"folder", "folder:DIR", "image files in DIR/train/CLASS and DIR/test/CLASS or DIR/val/CLASS", load_folder},
        {"idx", "idx:DIR[:pad2]", "MNIST and its family; pad2 makes 28x28 images 32x32", load_idx},
        {"imagenet", "imagenet:DIR", "image files in folders of WordNet ids, as the 1000 classes of ImageNet-1K",
         load_imagenet},
        {"synthetic", "synthetic[:SEED[:TRAIN_COUNT[:TEST_COUNT]]]", "drawn shapes, generated: needs no files",
         load_synthetic},
        {"utkface", "utkface:DIR[:GROUPING[:SEED]]", "faces in age groups: TNN, MFD, balanced, groups or tens",
         load_utkface, "resize=128x128,random-crop=120,flip", true},
    };
    return kinds;
}

std::pair<std::string, std::string> split_option(const std::string& argument,
                                                 std::initializer_list<std::string_view> options) {
    const std::size_t colon = argument.rfind(':');
    if (colon == std::string::npos) return {argument, ""};
    const std::string option = argument.substr(colon + 1);
    if (std::find(options.begin(), options.end(), option) == options.end()) return {argument, ""};
    return {argument.substr(0, colon), option};
}

const char* name(Split split) {
    return split == Split::train ? "train" : split == Split::validation ? "validation" : "test";
}

Dataset load_dataset(const std::string& text, Split split, const LoadOptions& options) {
    const std::size_t colon = text.find(':');
    const std::string kind_name = text.substr(0, colon);
    const std::string argument = colon == std::string::npos ? "" : text.substr(colon + 1);
    for (const DatasetKind& kind : dataset_kinds()) {
        if (kind.name != kind_name) continue;
        check(split != Split::validation || kind.validation, "dataset: ", kind.name,
              " has no validation images of its own, only training and test images");
        Dataset dataset = kind.load(argument, split);
        dataset.source = text;
        dataset.split = split;
        if (!dataset.files.empty() && options.on_corrupt == OnCorrupt::skip) leave_out_unreadable(dataset);
        const Transform transform = choose_transform(kind, !dataset.files.empty(), options);
        if (!dataset.files.empty() || !transform.empty()) make_loader(dataset, transform, options.cache_bytes);
        return dataset;
    }
    fail("dataset: unknown kind '", kind_name, "' in '", text, "'; known are ", known_usages());
}

std::vector<uint8_t> Dataset::image_bytes(int64_t index) const {
    check(index >= 0 && index < size(), "dataset: image ", index, " of ", size(), " (", source, ", ", name(split), ")");
    if (loader) return loader->bytes(index);
    const auto bytes = static_cast<std::size_t>(channels * height * width);
    const uint8_t* first = pixels.data() + static_cast<std::size_t>(index) * bytes;
    return {first, first + bytes};
}

PendingImages Dataset::request(std::span<const int64_t> indices) const {
    for (const int64_t index : indices)
        check(index >= 0 && index < size(), "dataset: image ", index, " of ", size(), " (", source, ", ", name(split),
              ")");
    if (loader) return loader->request(indices, std::nullopt, pixel_scale);
    Tensor tensor = Tensor::empty({static_cast<int64_t>(indices.size()), channels, height, width});
    float* out = tensor.mutable_data();  // channels-last, as the bytes are
    const auto bytes = static_cast<std::size_t>(channels * height * width);
    for (const int64_t index : indices) {
        bytes_to_floats({pixels.data() + static_cast<std::size_t>(index) * bytes, bytes}, pixel_scale, out);
        out += bytes;
    }
    return PendingImages(std::move(tensor));
}

PendingImages Dataset::request(std::span<const int64_t> indices, const Random& augment,
                               std::span<const uint64_t> items) const {
    if (!augments()) return request(indices);
    return loader->request(indices, Augmentation{augment, {items.begin(), items.end()}}, pixel_scale);
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
    if (!loader) return sha256_text(text + sha256(pixels));
    std::vector<std::string> contents(labels.size());
    parallel_for(size(), [&](int64_t i) { contents[static_cast<std::size_t>(i)] = loader->source().sha256(i); });
    for (const std::string& content : contents) text += content + '\n';
    text += describe(loader->transform()) + '\n';
    return sha256_text(text);
}

}  // namespace lethe
