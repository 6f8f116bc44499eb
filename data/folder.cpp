// Folders of images, one per class, as torchvision.datasets.ImageFolder reads them.
#include <algorithm>
#include <filesystem>

#include "data/dataset_kinds.h"
#include "data/file.h"
#include "data/image_list.h"
#include "tensor/error.h"

namespace lethe {

namespace fs = std::filesystem;

Dataset load_folder(const std::string& directory, Split split) {
    check(!directory.empty(), "folder: the folder is missing; write folder:DIR");
    const fs::path train = fs::path(directory) / "train";
    check(is_folder(train), "folder: there is no folder ", train.string(),
          "; images belong in DIR/train/CLASS and DIR/test/CLASS (or DIR/val/CLASS)");
    Dataset dataset;
    dataset.class_names = sorted_folders(train);
    check(!dataset.class_names.empty(), "folder: ", train.string(), " holds no classes (CLASS/*.png, jpg, ...)");
    fs::path root = fs::path(directory) / name(split);
    if (!is_folder(root)) root = fs::path(directory) / "val";
    check(is_folder(root), "folder: there is no folder ", (fs::path(directory) / name(split)).string(), " and no ",
          root.string());
    const std::vector<std::string>& classes = dataset.class_names;
    for (const std::string& class_name : sorted_folders(root)) {
        const std::size_t before = dataset.files.size();
        const auto found = std::find(classes.begin(), classes.end(), class_name);
        check(found != classes.end(), "folder: ", (root / class_name).string(),
              " is a class that the train folder does not have");
        for (const fs::path& file : sorted_images(root / class_name)) {
            dataset.files.push_back(file);
            dataset.labels.push_back(found - classes.begin());
        }
        check(split != Split::train || dataset.files.size() > before, "folder: ", (root / class_name).string(),
              " holds no images (*.png, jpg, ...), so its class cannot be learnt; fill it or remove it");
    }
    check(!dataset.files.empty(), "folder: ", root.string(), " holds no images (CLASS/*.png, jpg, ...)");
    return dataset;
}

}  // namespace lethe
