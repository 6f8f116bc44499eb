#include "data/utkface.h"

#include <algorithm>
#include <charconv>
#include <filesystem>

#include "data/dataset_kinds.h"
#include "data/file.h"
#include "data/image_list.h"
#include "tensor/error.h"
#include "tensor/random.h"

namespace lethe {
namespace {

namespace fs = std::filesystem;

const AgeGrouping& find_grouping(const std::string& name) {
    std::string known;
    for (const AgeGrouping& grouping : age_groupings()) {
        if (grouping.name == name) return grouping;
        known += (known.empty() ? "" : ", ") + grouping.name;
    }
    fail("utkface: unknown age grouping '", name, "'; known are ", known);
}

// "DIR[:GROUPING[:SEED]]"
struct Arguments {
    std::string directory, grouping = "MFD";
    uint32_t seed = 0;  // as the reference's unlearning script
};

Arguments parse(const std::string& argument) {
    Arguments result{.directory = argument};
    const auto is_number = [](const std::string& text) {
        return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
    };
    std::size_t colon = result.directory.rfind(':');
    if (colon != std::string::npos && is_number(result.directory.substr(colon + 1))) {
        const std::string text = result.directory.substr(colon + 1);
        const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), result.seed);
        check(error == std::errc() && end == text.data() + text.size(), "utkface: the seed of the split, ", text,
              ", must be less than 2^32");
        result.directory.resize(colon);
        colon = result.directory.rfind(':');
        check(colon != std::string::npos,
              "utkface: a seed needs a grouping before it; write utkface:DIR:GROUPING:SEED");
    }
    if (colon != std::string::npos && !is_folder(result.directory)) {
        result.grouping = result.directory.substr(colon + 1);
        result.directory.resize(colon);
    }
    check(!result.directory.empty(), "utkface: the folder is missing; write utkface:DIR");
    check(is_folder(result.directory), "utkface: there is no folder ", result.directory);
    return result;
}

std::vector<std::string> class_names(const AgeGrouping& grouping) {
    std::vector<std::string> names;
    for (std::size_t i = 0; i + 2 < grouping.bounds.size(); ++i)
        names.push_back(concat(grouping.bounds[i], '-', grouping.bounds[i + 1] - 1));
    names.push_back(concat(grouping.bounds[grouping.bounds.size() - 2], '+'));
    return names;
}

// The reference divides the 23,708 images as 18,966 + 2,371 + 2,371: eight tenths, and the rest halved into validation
// images, which it uses in pretraining only, and test images.
std::pair<int64_t, int64_t> range(int64_t count, Split split) {
    const int64_t train = count * 8 / 10, validation = train + (count - train) / 2;
    if (split == Split::train) return {0, train};
    return split == Split::validation ? std::pair{train, validation} : std::pair{validation, count};
}

}  // namespace

const std::vector<AgeGrouping>& age_groupings() {
    static const std::vector<AgeGrouping> groupings{
        {"TNN", {0, 10, 15, 20, 25, 30, 40, 50, 60, 120}},
        {"MFD", {0, 20, 41, 120}},
        {"balanced", {0, 20, 30, 45, 120}},
        {"groups", {0, 4, 13, 20, 31, 46, 61, 120}},
        {"tens", {0, 11, 21, 31, 41, 51, 61, 71, 81, 91, 101, 111, 120}},
    };
    return groupings;
}

int64_t age_class(const AgeGrouping& grouping, int64_t age) {
    check(age >= grouping.bounds.front(), "utkface: an age of ", age);
    const auto above = std::upper_bound(grouping.bounds.begin(), grouping.bounds.end() - 1, age);
    return above - grouping.bounds.begin() - 1;
}

int64_t age_of(const std::string& file_name) {
    int64_t age = -1;
    const auto [end, error] = std::from_chars(file_name.data(), file_name.data() + file_name.size(), age);
    const bool found = error == std::errc() && end != file_name.data() + file_name.size() && *end == '_' && age >= 0;
    return found ? age : -1;
}

Dataset load_utkface(const std::string& argument, Split split) {
    const Arguments arguments = parse(argument);
    const AgeGrouping& grouping = find_grouping(arguments.grouping);
    const std::vector<fs::path> files = sorted_images(arguments.directory);
    const auto count = static_cast<int64_t>(files.size());
    const auto [first, last] = range(count, split);
    check(first < last, "utkface: ", arguments.directory, " holds ", count, " images, too few for a ", name(split),
          " split");
    const std::vector<int64_t> order = numpy_shuffle(arguments.seed, count);
    Dataset dataset;
    dataset.class_names = class_names(grouping);
    for (int64_t i = first; i < last; ++i) {
        const fs::path& file = files[static_cast<std::size_t>(order[static_cast<std::size_t>(i)])];
        const int64_t age = age_of(file.filename().string());
        check(age >= 0, "utkface: ", file.string(), " does not begin with an age and '_', as 61_1_2017.jpg does");
        dataset.files.push_back(file);
        dataset.labels.push_back(age_class(grouping, age));
    }
    return dataset;
}

}  // namespace lethe
