#include "data/idx.h"

#include <zlib.h>

#include <algorithm>
#include <filesystem>

#include "data/byte_reader.h"
#include "data/file.h"
#include "tensor/error.h"

namespace lethe {
namespace {

namespace fs = std::filesystem;

constexpr int64_t longest_idx_side = 4096;
constexpr std::size_t most_bytes = std::size_t{1} << 30;  // EMNIST by class, the largest of the family, has 547 MB
constexpr int64_t most_pixels = int64_t{1} << 30;         // with margins; EMNIST by class at 32x32 has 715 million

uint32_t big_endian(ByteReader& in) {
    uint32_t value = 0;
    for (const uint8_t byte : in.take(4)) value = value << 8 | byte;
    return value;
}

// The dimensions of an array of bytes; `in` is left at its first element.
std::vector<int64_t> read_header(ByteReader& in, std::size_t rank, const char* what) {
    check(in.remaining() >= 4 && in.u8() == 0 && in.u8() == 0 && in.u8() == 8 && in.u8() == rank, "the file of the ",
          what, " is no IDX file of bytes in ", rank, rank == 1 ? " dimension" : " dimensions");
    std::vector<int64_t> shape;
    for (std::size_t i = 0; i < rank; ++i) shape.push_back(big_endian(in));
    return shape;
}

// One grey image, surrounded by black, as RGB.
void append_grey(std::span<const uint8_t> grey, int64_t width, int64_t margin, std::vector<uint8_t>& pixels) {
    const auto blank = [&](int64_t count) { pixels.insert(pixels.end(), static_cast<std::size_t>(3 * count), 0); };
    blank(margin * (width + 2 * margin));
    for (std::size_t at = 0; at < grey.size(); at += static_cast<std::size_t>(width)) {
        blank(margin);
        for (const uint8_t value : grey.subspan(at, static_cast<std::size_t>(width)))
            pixels.insert(pixels.end(), 3, value);
        blank(margin);
    }
    blank(margin * (width + 2 * margin));
}

struct InflateStream : z_stream {
    InflateStream() : z_stream{} {
        constexpr int gzip = 16;
        check(inflateInit2(this, gzip + MAX_WBITS) == Z_OK, "gzip: zlib cannot start");
    }
    ~InflateStream() { inflateEnd(this); }
    InflateStream(const InflateStream&) = delete;
    InflateStream& operator=(const InflateStream&) = delete;
};

// "train-images-idx3-ubyte", compressed or not, and the spelling with a dot that some copies have.
fs::path find_file(const fs::path& folder, const std::string& stem, const std::string& type) {
    for (const char* separator : {"-", "."})
        for (const char* extension : {"", ".gz"}) {
            const fs::path file = folder / (stem + separator + type + extension);
            if (is_file(file)) return file;
        }
    fail("idx: ", (folder / (stem + "-" + type)).string(), " is missing, and so is ", stem, "-", type, ".gz");
}

std::vector<uint8_t> read_idx(const fs::path& file) {
    const std::vector<uint8_t> bytes = read_file(file);
    try {
        return gunzip(bytes, most_bytes);
    } catch (const Error& error) {
        fail("idx: ", file.string(), ": ", error.what());
    }
}

}  // namespace

std::vector<uint8_t> gunzip(std::span<const uint8_t> bytes, std::size_t limit) {
    if (bytes.size() < 2 || bytes[0] != 0x1f || bytes[1] != 0x8b) return {bytes.begin(), bytes.end()};
    InflateStream stream;
    stream.next_in = const_cast<uint8_t*>(bytes.data());  // zlib's interface is older than const
    stream.avail_in = static_cast<uInt>(std::min<std::size_t>(bytes.size(), UINT32_MAX));
    std::vector<uint8_t> result, chunk(1 << 18);
    for (int status = Z_OK; status != Z_STREAM_END;) {
        stream.next_out = chunk.data();
        stream.avail_out = static_cast<uInt>(chunk.size());
        status = inflate(&stream, Z_NO_FLUSH);
        check(status == Z_OK || status == Z_STREAM_END, "the gzip data are damaged or truncated");
        const std::size_t got = chunk.size() - stream.avail_out;
        check(got <= limit - result.size(), "the gzip data hold more than ", limit, " bytes");
        result.insert(result.end(), chunk.begin(), chunk.begin() + static_cast<std::ptrdiff_t>(got));
    }
    return result;
}

PixelBlock parse_idx(std::span<const uint8_t> images, std::span<const uint8_t> labels, int64_t margin) {
    ByteReader image_reader(images), label_reader(labels);
    const std::vector<int64_t> shape = read_header(image_reader, 3, "images");
    const int64_t count = shape[0], height = shape[1], width = shape[2];
    check(height >= 1 && width >= 1 && height <= longest_idx_side && width <= longest_idx_side, "images of ", width,
          "x", height, " pixels; sides of 1 to ", longest_idx_side, " are supported");
    check(static_cast<uint64_t>(count * height * width) == image_reader.remaining(), "the header says ", count,
          " images of ", width, "x", height, " pixels, but ", image_reader.remaining(), " bytes follow");
    check(count >= 1, "the file holds no images");
    const std::vector<int64_t> label_shape = read_header(label_reader, 1, "labels");
    check(label_shape[0] == count, "there are ", count, " images but ", label_shape[0], " labels");
    check(static_cast<uint64_t>(count) == label_reader.remaining(), "the header says ", count, " labels, but ",
          label_reader.remaining(), " bytes follow");
    PixelBlock block{.height = height + 2 * margin, .width = width + 2 * margin, .labels = {}, .pixels = {}};
    check(count * block.height * block.width <= most_pixels, count, " images of ", block.width, "x", block.height,
          " pixels are too many; at most 2^30 pixels are supported");
    block.pixels.reserve(static_cast<std::size_t>(count * block.height * block.width * 3));
    const auto grey_bytes = static_cast<uint64_t>(height * width);
    for (int64_t i = 0; i < count; ++i) {
        block.labels.push_back(label_reader.u8());
        append_grey(image_reader.take(grey_bytes), width, margin, block.pixels);
    }
    return block;
}

// Classes are what the training labels count: 10 in MNIST, up to 62 in EMNIST.
Dataset load_idx(const std::string& argument, Split split) {
    const auto [directory, option] = split_option(argument, {"pad2"});
    const int64_t margin = option == "pad2" ? 2 : 0;
    check(!directory.empty(), "idx: the folder is missing; write idx:DIR");
    const fs::path folder(directory);
    check(is_folder(folder), "idx: there is no folder ", directory);
    const std::string prefix = split == Split::train ? "train" : "t10k";
    const fs::path image_file = find_file(folder, prefix + "-images", "idx3-ubyte"),
                   label_file = find_file(folder, prefix + "-labels", "idx1-ubyte");
    const std::vector<uint8_t> images = read_idx(image_file), labels = read_idx(label_file);
    Dataset dataset;
    append(dataset, "idx: " + image_file.string(), [&] { return parse_idx(images, labels, margin); });
    int64_t most = *std::max_element(dataset.labels.begin(), dataset.labels.end());
    if (split == Split::test) {
        const fs::path train_file = find_file(folder, "train-labels", "idx1-ubyte");
        const std::vector<uint8_t> train = read_idx(train_file);
        check(train.size() > 8, "idx: ", train_file.string(), " holds no labels");
        const int64_t most_trained = *std::max_element(train.begin() + 8, train.end());
        check(most <= most_trained, "idx: ", label_file.string(), " has label ", most,
              ", the training images only 0 to ", most_trained);
        most = most_trained;
    }
    for (int64_t label = 0; label <= most; ++label) dataset.class_names.push_back(std::to_string(label));
    return dataset;
}

}  // namespace lethe
