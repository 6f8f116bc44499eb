// The file of `lethe experiment`: which unlearning runs are made. docs/experiments.md describes it key by key.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "unlearn/run_directory.h"

namespace lethe {

// What a file says: every combination of a model, a dataset, a k, a switch set, a forget set and a seed is a cell.
struct Grid {
    struct Named {
        std::string name;
        Json options;  // of `lethe unlearn`
    };

    std::vector<Named> models, data;
    std::vector<int64_t> k;  // images to forget
    std::vector<std::string> switches{""};
    std::vector<uint64_t> sets;  // numbers of forget sets; without any a seed names its own
    std::vector<uint64_t> seeds;
    std::string forget;                // the parts SET, SEED and K between its colons stand for a cell's
    std::vector<std::string> methods;  // all in one run, so that they share forget set and adversarial images
    std::vector<std::pair<std::string, std::string>> compare;  // of `methods`
    std::string protocol = "recommended";
    Json options = Json::object();  // further ones of `lethe unlearn`, for every cell
};

// One run of `lethe unlearn`.
struct Cell {
    // "resnet20_cifar10_k16_bn-train-steps=off_set3_seed0": a folder's name, the same in a larger grid
    std::string name;
    std::string model, data, switches;
    int64_t k = 0;
    std::optional<uint64_t> set;
    uint64_t seed = 0;
    Json config;  // for `lethe unlearn --config`
};

// `options`: the names of the options of `lethe unlearn`. Throws Error naming file and line: no TOML, an unknown or
// missing key, a value of another type, an unknown method, protocol or switch, a value that is there twice.
Grid read_grid(const std::filesystem::path& file, const std::vector<std::string>& options);
// In the order of the file; seeds vary fastest, then sets.
std::vector<Cell> cells_of(const Grid& grid);

}  // namespace lethe
