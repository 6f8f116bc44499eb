// Uncompressed pictures: BMP and binary PPM/PGM.
#include <algorithm>
#include <array>

#include "data/byte_reader.h"
#include "data/image_formats.h"
#include "tensor/error.h"

namespace lethe {
namespace {

// decode() with what ByteReader says about a truncated file prefixed by the image's name.
template <class Decode>
ImageBytes named(const std::string& name, const Decode& decode) {
    try {
        return decode();
    } catch (const Error& error) {
        if (std::string_view(error.what()).starts_with("image: ")) throw;
        fail("image: ", name, " is ", error.what());
    }
}

// ---- BMP: https://learn.microsoft.com/en-us/windows/win32/gdi/bitmap-storage ----------------------------------------

struct BmpHeader {
    int64_t data_offset, width, height;  // the height is negative when rows run from top to bottom
    int bits;
    uint32_t colours;
};

BmpHeader read_bmp_header(ByteReader& reader, const std::string& name) {
    BmpHeader header;
    reader.take(10);  // signature, size, reserved
    header.data_offset = reader.little_endian<uint32_t>();
    const uint32_t header_bytes = reader.little_endian<uint32_t>();
    check(header_bytes >= 40, "image: ", name, " is a BMP file of a kind older than Windows 3, which is not read");
    header.width = reader.little_endian<int32_t>();
    header.height = reader.little_endian<int32_t>();
    reader.take(2);  // planes
    header.bits = reader.little_endian<uint16_t>();
    const uint32_t compression = reader.little_endian<uint32_t>();
    reader.take(12);  // size of the pixels, resolution
    header.colours = reader.little_endian<uint32_t>();
    reader.take(header_bytes - 36);  // from the number of important colours on
    check(compression == 0 &&
              (header.bits == 1 || header.bits == 4 || header.bits == 8 || header.bits == 24 || header.bits == 32),
          "image: ", name, " is a BMP file of ", header.bits, " bits per pixel and compression ", compression,
          "; uncompressed ones of 1, 4, 8, 24 and 32 bits are read");
    return header;
}

using Colour = std::array<uint8_t, 3>;

// Colours that the palette lacks are black.
std::array<Colour, 256> read_bmp_palette(ByteReader& reader, const BmpHeader& header, const std::string& name) {
    std::array<Colour, 256> palette{};
    const uint32_t all = 1u << header.bits, count = header.colours == 0 ? all : header.colours;
    check(count <= all, "image: ", name, " is a damaged BMP file: ", count, " colours for ", header.bits, " bits");
    for (uint32_t i = 0; i < count; ++i) {
        const auto entry = reader.take(4);
        palette[i] = {entry[2], entry[1], entry[0]};
    }
    return palette;
}

void unpack_bmp_row(std::span<const uint8_t> row, int bits, const std::array<Colour, 256>& palette,
                    std::span<uint8_t> out) {
    const std::size_t width = out.size() / 3;
    for (std::size_t x = 0; x < width; ++x) {
        Colour colour;
        if (bits >= 24) {
            const uint8_t* pixel = row.data() + x * static_cast<std::size_t>(bits / 8);
            colour = {pixel[2], pixel[1], pixel[0]};
        } else {
            const std::size_t bit = x * static_cast<std::size_t>(bits),
                              shift = 8 - bit % 8 - static_cast<std::size_t>(bits);
            colour = palette[(row[bit / 8] >> shift) & ((1u << bits) - 1)];
        }
        std::copy(colour.begin(), colour.end(), out.begin() + static_cast<std::ptrdiff_t>(x * 3));
    }
}

// ---- PPM and PGM: https://netpbm.sourceforge.net/doc/ppm.html -------------------------------------------------------

bool is_space(uint8_t c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

// The next number of the header, behind spaces and comments; the byte after it is consumed.
int64_t read_ppm_number(ByteReader& reader, const std::string& name) {
    uint8_t c = reader.u8();
    while (is_space(c) || c == '#') {
        if (c == '#') reader.line();
        c = reader.u8();
    }
    int64_t number = 0;
    for (; c >= '0' && c <= '9'; c = reader.u8()) number = std::min<int64_t>(number * 10 + (c - '0'), INT32_MAX);
    check(is_space(c), "image: ", name, " is a damaged PPM file: its header wants numbers");
    return number;
}

}  // namespace

ImageBytes decode_bmp(std::span<const uint8_t> file, const std::string& name) {
    return named(name, [&] {
        ByteReader reader(file);
        const BmpHeader header = read_bmp_header(reader, name);
        const auto palette = header.bits <= 8 ? read_bmp_palette(reader, header, name) : std::array<Colour, 256>{};
        const int64_t height = std::abs(header.height), per_byte = std::max(8 / header.bits, 1);
        ImageBytes image = blank_image(height, header.width, file.size(), per_byte, name);
        ByteReader pixels(file);
        pixels.take(static_cast<uint64_t>(header.data_offset));
        const int64_t stride = (header.width * header.bits + 31) / 32 * 4;
        for (int64_t i = 0; i < height; ++i) {
            const int64_t y = header.height < 0 ? i : height - 1 - i, bytes = header.width * 3;
            unpack_bmp_row(
                pixels.take(static_cast<uint64_t>(stride)), header.bits, palette,
                std::span(image.pixels).subspan(static_cast<std::size_t>(y * bytes), static_cast<std::size_t>(bytes)));
        }
        return image;
    });
}

ImageBytes decode_ppm(std::span<const uint8_t> file, const std::string& name) {
    return named(name, [&] {
        ByteReader reader(file);
        const bool grey = reader.take(2)[1] == '5';
        const int64_t width = read_ppm_number(reader, name), height = read_ppm_number(reader, name),
                      brightest = read_ppm_number(reader, name);
        check(brightest == 255, "image: ", name, " is a PPM file with values up to ", brightest,
              "; those with values up to 255 are read");
        ImageBytes image = blank_image(height, width, file.size(), 1, name);
        const auto values = reader.take(static_cast<uint64_t>(height * width * (grey ? 1 : 3)));
        for (std::size_t i = 0; i < image.pixels.size(); ++i) image.pixels[i] = values[grey ? i / 3 : i];
        return image;
    });
}

}  // namespace lethe
