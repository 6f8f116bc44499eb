#include <climits>
#include <cstdlib>
#include <memory>

#include "data/file.h"
#include "data/image_file.h"
#include "tensor/error.h"

// The implementations are static, so that they can never clash with those of another library in the same program.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#define STB_IMAGE_STATIC
#define STB_IMAGE_IMPLEMENTATION
#define STBI_NO_STDIO
#define STBI_ONLY_PNG
#define STBI_ONLY_JPEG
#define STBI_ONLY_BMP
#define STBI_ONLY_PNM
#include <stb/stb_image.h>
#define STB_IMAGE_WRITE_STATIC
#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STBI_WRITE_NO_STDIO
#include <stb/stb_image_write.h>
#pragma GCC diagnostic pop

namespace lethe {
namespace {

constexpr int64_t most_pixels = int64_t{1} << 26;  // a hostile header must not make us ask for gigabytes

void append(void* context, void* data, int size) {
    auto& out = *static_cast<std::vector<uint8_t>*>(context);
    const auto* bytes = static_cast<const uint8_t*>(data);
    out.insert(out.end(), bytes, bytes + size);
}

}  // namespace

ImageBytes read_image(const std::filesystem::path& path) {
    const std::vector<uint8_t> file = read_file(path);
    check(file.size() <= INT_MAX, "image: ", path.string(), " is larger than 2 GiB");
    const int length = static_cast<int>(file.size());
    int width = 0, height = 0, channels = 0;
    check(stbi_info_from_memory(file.data(), length, &width, &height, &channels) != 0, "image: ", path.string(),
          " is not a readable PNG, JPEG, BMP or PPM file (", stbi_failure_reason(), ")");
    check(int64_t{width} * height <= most_pixels, "image: ", path.string(), " has ", width, "x", height,
          " pixels; at most 2^26 are supported");
    const std::unique_ptr<stbi_uc, void (*)(void*)> decoded(
        stbi_load_from_memory(file.data(), length, &width, &height, &channels, 3), std::free);
    check(decoded != nullptr, "image: ", path.string(), " is damaged or truncated (", stbi_failure_reason(), ")");
    const std::size_t bytes = static_cast<std::size_t>(int64_t{width} * height * 3);
    return {height, width, std::vector<uint8_t>(decoded.get(), decoded.get() + bytes)};
}

std::vector<uint8_t> encode_png(int64_t height, int64_t width, std::span<const uint8_t> pixels) {
    check(height > 0 && width > 0 && height * width <= most_pixels &&
              static_cast<int64_t>(pixels.size()) == height * width * 3,
          "image: ", pixels.size(), " bytes for an RGB picture of ", width, "x", height);
    std::vector<uint8_t> png;
    const int written = stbi_write_png_to_func(append, &png, static_cast<int>(width), static_cast<int>(height), 3,
                                               pixels.data(), static_cast<int>(width * 3));
    check(written != 0, "image: the PNG encoder ran out of memory");
    return png;
}

}  // namespace lethe
