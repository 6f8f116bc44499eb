#include <numeric>

#include "data/byte_reader.h"
#include "data/cifar.h"
#include "data/csv.h"
#include "data/idx.h"
#include "fuzz/targets.h"
#include "tensor/error.h"

namespace lethe::fuzz {
namespace {

void check_block(const PixelBlock& block, int64_t classes) {
    const auto count = static_cast<int64_t>(block.labels.size());
    require(count > 0 && block.height > 0 && block.width > 0, "what was read has images of some size");
    require(static_cast<int64_t>(block.pixels.size()) == count * block.height * block.width * 3,
            "every image has height * width * 3 bytes");
    for (const int64_t label : block.labels) require(label >= 0 && label < classes, "every label is that of a class");
}

template <class Parse>
void check_twice(const PixelBlock& block, const Parse& parse) {
    const PixelBlock again = without_error("what was read can be read again", parse);
    require(again.height == block.height && again.width == block.width && again.labels == block.labels &&
                again.pixels == block.pixels,
            "reading twice gives the same");
}

// Bytes that are CIFAR with labels of one of the kinds. Both of CIFAR-100's come with the same images.
template <class Parse>
void load_any_cifar(Bytes bytes, const Parse& parse) {
    std::string refusal;
    std::vector<PixelBlock> blocks;
    for (const CifarLabels labels : {CifarLabels::cifar10, CifarLabels::coarse, CifarLabels::fine}) {
        try {
            blocks.push_back(parse(bytes, labels));
        } catch (const Error& error) {
            refusal = error.what();
            continue;
        }
        const PixelBlock& block = blocks.back();
        check_block(block, class_count(labels));
        require(block.height == 32 && block.width == 32, "CIFAR's images have 32x32 pixels");
        require(block.pixels == blocks[0].pixels, "the kind of labels changes no pixel");
        check_twice(block, [&] { return parse(bytes, labels); });
    }
    check(!blocks.empty(), refusal);
}

}  // namespace

void load_cifar(Bytes bytes) { load_any_cifar(bytes, parse_cifar); }

void load_cifar_pickle(Bytes bytes) { load_any_cifar(bytes, parse_cifar_pickle); }

// A margin of up to 3 pixels, the length of the images' file as two bytes, that file, and the labels' file; each of
// them may be compressed.
void load_idx(Bytes bytes) {
    constexpr std::size_t most_bytes = 1 << 18;
    ByteReader in(bytes);
    const int64_t margin = in.u8() % 4;
    const std::vector<uint8_t> images = gunzip(in.take(in.little_endian<uint16_t>()), most_bytes),
                               labels = gunzip(in.take(in.remaining()), most_bytes);
    require(images.size() <= most_bytes && labels.size() <= most_bytes, "gunzip() keeps to its limit");
    const PixelBlock block = parse_idx(images, labels, margin);
    check_block(block, 256);
    require(block.labels.size() == labels.size() - 8, "every byte of the labels' file is a label");
    check_twice(block, [&] { return parse_idx(images, labels, margin); });
    const auto sum = [](const std::vector<uint8_t>& values, std::size_t from) {
        return std::accumulate(values.begin() + static_cast<std::ptrdiff_t>(from), values.end(), uint64_t{0});
    };
    require(sum(block.pixels, 0) == 3 * sum(images, 16), "greys are repeated thrice and the margin is black");
}

// Rows as parse_csv reads them, every field quoted.
void load_csv(Bytes bytes) {
    const std::vector<std::vector<std::string>> table =
        parse_csv({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
    std::string text;
    for (const std::vector<std::string>& row : table) {
        require(!row.empty(), "a row has a field");
        for (const std::string& field : row) {
            text += &field == &row[0] ? "\"" : ",\"";
            for (const char c : field) text += c == '"' ? std::string(2, c) : std::string(1, c);
            text += '"';
        }
        text += "\r\n";
    }
    const auto again = without_error("what was written can be read", [&] { return parse_csv(text); });
    require(again == table, "what was written is read back the same");
}

}  // namespace lethe::fuzz
