// Image files to bytes and back. What is read of which format: docs/images.md.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace lethe {

constexpr int64_t most_image_pixels = int64_t{1} << 26;  // of any image that is read or made

// An RGB image, [height, width, 3] bytes.
struct ImageBytes {
    int64_t height = 0, width = 0;
    std::vector<uint8_t> pixels;
};

// Decodes JPEG, PNG, BMP or PPM, by content, to the bytes that PIL's Image.open(file).convert("RGB") gives: greys,
// palettes and CMYK become RGB, transparency is dropped, and what EXIF says about orientation is not heeded.
// `name` is what errors call the image. Throws Error when it is of another format, of an unusual kind, damaged or
// truncated in any way, or larger than most_image_pixels.
ImageBytes decode_image(std::span<const uint8_t> file, const std::string& name = "the image");

// The same for a file. Throws Error naming it, also when it is missing.
ImageBytes read_image(const std::filesystem::path& path);

// An RGB image as the bytes of a PNG file. Throws Error unless there are height * width * 3 pixels bytes.
std::vector<uint8_t> encode_png(int64_t height, int64_t width, std::span<const uint8_t> pixels);

// The same as the bytes of a JPEG file, as PIL saves it: baseline, colours at half the resolution (4:2:0). Throws Error
// for another number of pixels, a side above 65500 or a quality outside 1 to 100.
std::vector<uint8_t> encode_jpeg(int64_t height, int64_t width, std::span<const uint8_t> pixels, int quality);

}  // namespace lethe
