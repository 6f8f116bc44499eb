// The loaders behind load_dataset, one per file; dataset_kinds() in dataset.cpp lists them.
#pragma once

#include <concepts>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "data/dataset.h"
#include "tensor/error.h"

namespace lethe {

Dataset load_cifar10(const std::string& argument, Split split);
Dataset load_cifar100(const std::string& argument, Split split);
Dataset load_cifar_pickle(const std::string& argument, Split split);
Dataset load_csv(const std::string& argument, Split split);
Dataset load_folder(const std::string& argument, Split split);
Dataset load_idx(const std::string& argument, Split split);
Dataset load_imagenet(const std::string& argument, Split split);
Dataset load_synthetic(const std::string& argument, Split split);
Dataset load_utkface(const std::string& argument, Split split);

// Labelled images of one size, as parsed from the bytes of one file: pixels [n, height, width, 3].
struct PixelBlock {
    int64_t height = 0, width = 0;
    std::vector<int64_t> labels;
    std::vector<uint8_t> pixels;
};

// Appends the block that parse() returns. Its errors are told of `where`, such as "idx: FILE".
template <std::invocable Parse>
void append(Dataset& dataset, const std::string& where, Parse&& parse) {
    try {
        const PixelBlock block = parse();
        dataset.height = block.height;
        dataset.width = block.width;
        dataset.labels.insert(dataset.labels.end(), block.labels.begin(), block.labels.end());
        dataset.pixels.insert(dataset.pixels.end(), block.pixels.begin(), block.pixels.end());
    } catch (const Error& error) {
        fail(where, ": ", error.what());
    }
}

// "PATH:OPTION" where OPTION is one of `options`, else the whole of `argument` and "": a path may hold colons itself.
std::pair<std::string, std::string> split_option(const std::string& argument,
                                                 std::initializer_list<std::string_view> options);

}  // namespace lethe
