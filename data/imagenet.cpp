// ImageNet and its subsets: folders of images named after WordNet ids, labelled as models of the 1000 classes count.
#include "data/imagenet.h"

#include <algorithm>
#include <filesystem>

#include "data/dataset_kinds.h"
#include "data/file.h"
#include "data/image_list.h"
#include "tensor/error.h"

namespace lethe {
namespace {

namespace fs = std::filesystem;

// DIR/train and DIR/val as in ILSVRC; a folder with neither is one set of images, such as ImageNet-A.
fs::path find_root(const fs::path& folder, Split split) {
    const fs::path train = folder / "train", val = folder / "val", test = folder / "test";
    if (!is_folder(train) && !is_folder(val) && !is_folder(test)) return folder;
    const fs::path root = split == Split::train ? train : is_folder(val) ? val : test;
    check(is_folder(root), "imagenet: there is no folder ", root.string(), ", so there are no ", name(split),
          " images");
    return root;
}

}  // namespace

const std::array<ImageNetClass, 1000>& imagenet_classes() {
    static const std::array<ImageNetClass, 1000> classes{{
#include "data/imagenet_classes.inc"
    }};
    return classes;
}

int64_t imagenet_label(std::string_view id) {
    const auto& classes = imagenet_classes();
    const auto found = std::lower_bound(classes.begin(), classes.end(), id,
                                        [](const ImageNetClass& a, std::string_view b) { return a.id < b; });
    return found != classes.end() && found->id == id ? found - classes.begin() : -1;
}

Dataset load_imagenet(const std::string& directory, Split split) {
    check(!directory.empty(), "imagenet: the folder is missing; write imagenet:DIR");
    check(is_folder(directory), "imagenet: there is no folder ", directory);
    const fs::path root = find_root(directory, split);
    Dataset dataset;
    for (const ImageNetClass& each : imagenet_classes())
        dataset.class_names.push_back(concat(each.id, ' ', each.words));
    for (const std::string& id : sorted_folders(root)) {
        const int64_t label = imagenet_label(id);
        check(label >= 0, "imagenet: ", (root / id).string(),
              " is not named after one of the 1000 classes; they are WordNet ids such as n01440764");
        for (const fs::path& file : sorted_images(root / id)) {
            dataset.files.push_back(file);
            dataset.labels.push_back(label);
        }
    }
    check(!dataset.files.empty(), "imagenet: ", root.string(), " holds no images (WORDNET-ID/*.JPEG, jpg, png, ...)");
    return dataset;
}

}  // namespace lethe
