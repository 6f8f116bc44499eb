// Image files to bytes and back. The libraries behind them are included in stb.cpp alone.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <vector>

namespace lethe {

// An RGB image, [height, width, 3] bytes.
struct ImageBytes {
    int64_t height = 0, width = 0;
    std::vector<uint8_t> pixels;
};

// Decodes PNG, JPEG, BMP or PPM, by content; greys and palettes become RGB, transparency is dropped.
// Throws Error naming the file: missing, no image, truncated, or larger than 2^26 pixels.
ImageBytes read_image(const std::filesystem::path& path);

// An RGB image as the bytes of a PNG file. Throws Error unless there are height * width * 3 pixels bytes.
std::vector<uint8_t> encode_png(int64_t height, int64_t width, std::span<const uint8_t> pixels);

}  // namespace lethe
