#include "data/cifar.h"

#include <algorithm>
#include <sstream>

#include "data/file.h"
#include "tensor/error.h"

namespace lethe {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t side = 32, plane = side * side;
constexpr std::size_t most_records = 50'000;  // of the largest file, CIFAR-100's train.bin

std::size_t label_bytes(CifarLabels labels) { return labels == CifarLabels::cifar10 ? 1 : 2; }

std::vector<std::string> read_names(const fs::path& file, CifarLabels labels) {
    if (!is_there(file)) return default_names(labels);
    std::vector<std::string> names;
    std::istringstream lines(read_text(file));
    for (std::string line; std::getline(lines, line);) {
        if (!line.empty() && line.back() == '\r') line.pop_back();
        if (!line.empty()) names.push_back(line);
    }
    check(static_cast<int64_t>(names.size()) == class_count(labels), "cifar: ", file.string(), " names ", names.size(),
          " classes; it should name ", class_count(labels), ", one a line");
    return names;
}

Dataset read_files(const CifarFolder& from, const std::vector<std::string>& files, const char* names_file) {
    for (const std::string& file : files)
        check(is_file(from.folder / file), "cifar: ", (from.folder / file).string(), " is missing");
    Dataset dataset;
    dataset.class_names = read_names(from.folder / names_file, from.labels);
    for (const std::string& file : files) {
        const std::vector<uint8_t> bytes = read_file(from.folder / file);
        append(dataset, "cifar: " + (from.folder / file).string(), [&] { return parse_cifar(bytes, from.labels); });
    }
    return dataset;
}

}  // namespace

int64_t class_count(CifarLabels labels) {
    return labels == CifarLabels::cifar10 ? 10 : labels == CifarLabels::coarse ? 20 : 100;
}

CifarFolder parse_cifar_folder(const std::string& argument, const std::string& kind) {
    const bool both = kind != "cifar10";
    const auto [directory, option] = split_option(argument, {"coarse", "fine"});
    check(both || option.empty(), kind, ": only CIFAR-100 has ", option, " labels");
    check(!directory.empty(), kind, ": the folder is missing; write ", kind, ":DIR");
    check(is_folder(directory), kind, ": there is no folder ", directory);
    if (!both) return {directory, CifarLabels::cifar10};
    return {directory, option == "coarse" ? CifarLabels::coarse : CifarLabels::fine};
}

void append_planes(std::span<const uint8_t> planes, std::vector<uint8_t>& pixels) {
    for (std::size_t p = 0; p < plane; ++p)
        for (std::size_t channel = 0; channel < 3; ++channel) pixels.push_back(planes[channel * plane + p]);
}

PixelBlock parse_cifar(std::span<const uint8_t> bytes, CifarLabels labels) {
    const std::size_t labels_size = label_bytes(labels), record_bytes = labels_size + 3 * plane;
    check(!bytes.empty(), "the file is empty; it should hold records of ", record_bytes, " bytes");
    check(bytes.size() % record_bytes == 0, bytes.size(), " bytes are not a whole number of ", record_bytes,
          "-byte records; the file is truncated or not a ", labels == CifarLabels::cifar10 ? "CIFAR-10" : "CIFAR-100",
          " binary batch");
    const std::size_t records = bytes.size() / record_bytes;
    check(records <= most_records, records, " records are too many; no file of CIFAR has more than ", most_records);
    PixelBlock block{.height = side, .width = side, .labels = {}, .pixels = {}};
    block.pixels.reserve(records * 3 * plane);
    for (std::size_t i = 0; i < records; ++i) {
        const std::span<const uint8_t> record = bytes.subspan(i * record_bytes, record_bytes);
        const uint8_t label = record[labels == CifarLabels::fine ? 1 : 0];
        check(label < class_count(labels), "record ", i, " has label ", int{label}, "; labels are 0 to ",
              class_count(labels) - 1);
        block.labels.push_back(label);
        append_planes(record.subspan(labels_size), block.pixels);
    }
    return block;
}

Dataset load_cifar10(const std::string& argument, Split split) {
    const CifarFolder folder = parse_cifar_folder(argument, "cifar10");
    if (split == Split::test) return read_files(folder, {"test_batch.bin"}, "batches.meta.txt");
    return read_files(
        folder, {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"},
        "batches.meta.txt");
}

Dataset load_cifar100(const std::string& argument, Split split) {
    const CifarFolder folder = parse_cifar_folder(argument, "cifar100");
    return read_files(folder, {split == Split::train ? "train.bin" : "test.bin"},
                      folder.labels == CifarLabels::coarse ? "coarse_label_names.txt" : "fine_label_names.txt");
}

}  // namespace lethe
