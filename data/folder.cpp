#include <algorithm>
#include <cctype>
#include <filesystem>

#include "data/dataset_kinds.h"
#include "tensor/error.h"

namespace lethe {
namespace {

namespace fs = std::filesystem;

// In name order: the order in which the system lists a folder differs between machines.
template <class Wanted>
std::vector<std::string> sorted_entries(const fs::path& folder, Wanted&& wanted) {
    check(fs::is_directory(folder), "folder: there is no folder ", folder.string(),
          "; images belong in DIR/train/CLASS and DIR/test/CLASS");
    std::vector<std::string> names;
    for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
        const std::string entry_name = entry.path().filename().string();
        if (entry_name.front() != '.' && wanted(entry)) names.push_back(entry_name);
    }
    std::sort(names.begin(), names.end());
    return names;
}

bool is_folder(const fs::directory_entry& entry) { return entry.is_directory(); }

bool is_image(const fs::directory_entry& entry) {
    if (!entry.is_regular_file()) return false;
    std::string extension = entry.path().extension().string();
    for (char& c : extension) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    return extension == ".png" || extension == ".jpg" || extension == ".jpeg" || extension == ".bmp" ||
           extension == ".ppm";
}

// Fills in the files and labels of one split.
void list_images(const fs::path& root, Dataset& dataset) {
    const std::vector<std::string>& classes = dataset.class_names;
    for (const std::string& class_name : sorted_entries(root, is_folder)) {
        const auto found = std::find(classes.begin(), classes.end(), class_name);
        check(found != classes.end(), "folder: ", (root / class_name).string(),
              " is a class that the train folder does not have");
        for (const std::string& file : sorted_entries(root / class_name, is_image)) {
            dataset.files.push_back(root / class_name / file);
            dataset.labels.push_back(found - classes.begin());
        }
    }
    check(!dataset.files.empty(), "folder: ", root.string(), " holds no images (CLASS/*.png, jpg, jpeg, bmp or ppm)");
}

}  // namespace

Dataset load_folder(const std::string& directory, Split split) {
    check(!directory.empty(), "folder: the folder is missing; write folder:DIR");
    Dataset dataset;
    dataset.class_names = sorted_entries(fs::path(directory) / "train", is_folder);
    list_images(fs::path(directory) / name(split), dataset);
    return dataset;
}

}  // namespace lethe
