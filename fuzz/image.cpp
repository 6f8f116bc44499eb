#include <zlib.h>

#include "data/image_file.h"
#include "fuzz/targets.h"

namespace lethe::fuzz {
namespace {

constexpr std::size_t signature_bytes = 8, chunk_overhead = 12;  // of PNG: length, type, checksum

uint32_t big_endian(const uint8_t* at) {
    return uint32_t{at[0]} << 24 | uint32_t{at[1]} << 16 | uint32_t{at[2]} << 8 | uint32_t{at[3]};
}

// The file with the right checksum after every chunk that is there in full: otherwise a changed byte would get no
// further than its chunk's checksum.
std::vector<uint8_t> with_checksums(Bytes bytes) {
    std::vector<uint8_t> file(bytes.begin(), bytes.end());
    for (std::size_t at = signature_bytes; file.size() >= at + chunk_overhead;) {
        const std::size_t length = big_endian(&file[at]);
        if (length > file.size() - at - chunk_overhead) break;
        const uLong sum = crc32(0, &file[at + 4], static_cast<uInt>(length + 4));
        for (std::size_t i = 0; i < 4; ++i) file[at + 8 + length + i] = static_cast<uint8_t>(sum >> (24 - 8 * i));
        at += length + chunk_overhead;
    }
    return file;
}

}  // namespace

void load_image(Bytes bytes) {
    const ImageBytes image = decode_image(bytes);
    constexpr int64_t most_to_encode = 1 << 16;
    require(image.height > 0 && image.width > 0 && image.height <= most_image_pixels / image.width,
            "an image has 1 to 2^26 pixels");
    require(static_cast<int64_t>(image.pixels.size()) == image.height * image.width * 3,
            "an image has height * width * 3 bytes");
    const auto require_again = [&](const std::string& property, Bytes file) {
        const ImageBytes again = without_error(property, [&] { return decode_image(file); });
        require(again.height == image.height && again.width == image.width && again.pixels == image.pixels, property);
    };
    require_again("decoding twice gives the same", bytes);
    if (image.height * image.width > most_to_encode) return;
    const std::vector<uint8_t> png =
        without_error("an image can be written", [&] { return encode_png(image.height, image.width, image.pixels); });
    require_again("as PNG the image is the same", png);
}

void load_png(Bytes bytes) { load_image(with_checksums(bytes)); }

}  // namespace lethe::fuzz
