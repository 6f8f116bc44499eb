// CIFAR-10, binary version (Krizhevsky, "Learning multiple layers of features from tiny images", 2009).
#include <algorithm>
#include <filesystem>
#include <sstream>

#include "data/dataset_kinds.h"
#include "data/file.h"
#include "tensor/error.h"

namespace lethe {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t side = 32, plane = side * side, record_bytes = 1 + 3 * plane;
constexpr std::size_t most_records = 10'000;
constexpr int64_t class_count = 10;

std::vector<std::string> default_names() {
    return {"airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"};
}

std::vector<std::string> read_names(const fs::path& file) {
    if (!fs::exists(file)) return default_names();
    std::vector<std::string> names;
    std::istringstream lines(read_text(file));
    for (std::string line; std::getline(lines, line);) {
        if (!line.empty() && line.back() == '\r') line.pop_back();
        if (!line.empty()) names.push_back(line);
    }
    check(names.size() == class_count, "cifar10: ", file.string(), " names ", names.size(),
          " classes; it should name 10, one a line");
    return names;
}

// Planes R, G, B of one record to interleaved pixels.
void append_pixels(const uint8_t* planes, std::vector<uint8_t>& pixels) {
    for (std::size_t p = 0; p < plane; ++p)
        for (std::size_t channel = 0; channel < 3; ++channel) pixels.push_back(planes[channel * plane + p]);
}

void append_batch(const fs::path& file, Dataset& dataset) {
    const std::vector<uint8_t> bytes = read_file(file);
    check(!bytes.empty(), "cifar10: ", file.string(), " is empty; a complete file holds 10000 records of 3073 bytes");
    check(bytes.size() % record_bytes == 0, "cifar10: ", file.string(), " has ", bytes.size(),
          " bytes, not a whole number of 3073-byte records; it is truncated or not a CIFAR-10 binary batch");
    const std::size_t records = bytes.size() / record_bytes;
    check(records <= most_records, "cifar10: ", file.string(), " has ", records,
          " records; a CIFAR-10 batch has 10000 (an extract fewer)");
    dataset.pixels.reserve(dataset.pixels.size() + records * 3 * plane);
    for (std::size_t i = 0; i < records; ++i) {
        const uint8_t* record = bytes.data() + i * record_bytes;
        check(record[0] < class_count, "cifar10: ", file.string(), " has label ", int{record[0]}, " in record ", i,
              "; labels are 0 to 9");
        dataset.labels.push_back(record[0]);
        append_pixels(record + 1, dataset.pixels);
    }
}

}  // namespace

Dataset load_cifar10(const std::string& directory, Split split) {
    check(!directory.empty(), "cifar10: the folder is missing; write cifar10:DIR");
    const fs::path folder(directory);
    check(fs::is_directory(folder), "cifar10: there is no folder ", directory,
          "; it should hold data_batch_1.bin to data_batch_5.bin and test_batch.bin");
    Dataset dataset;
    dataset.height = dataset.width = side;
    dataset.class_names = read_names(folder / "batches.meta.txt");
    std::vector<std::string> files{"test_batch.bin"};
    if (split == Split::train)
        files = {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"};
    for (const std::string& file : files)
        check(fs::is_regular_file(folder / file), "cifar10: ", (folder / file).string(), " is missing");
    for (const std::string& file : files) append_batch(folder / file, dataset);
    return dataset;
}

}  // namespace lethe
