#include "data/image_file.h"

#include <algorithm>
#include <string_view>

#include "data/file.h"
#include "data/image_formats.h"
#include "tensor/error.h"

namespace lethe {
namespace {

using namespace std::string_view_literals;

struct Format {
    std::string_view signature;
    std::size_t offset;
    const char* name;
    ImageBytes (*decode)(std::span<const uint8_t> file, const std::string& name);  // null: known, but not read
};

constexpr Format formats[] = {
    {"\xff\xd8\xff"sv, 0, "JPEG", decode_jpeg},
    {"\x89PNG\r\n\x1a\n"sv, 0, "PNG", decode_png},
    {"BM"sv, 0, "BMP", decode_bmp},
    {"P5"sv, 0, "PGM", decode_ppm},
    {"P6"sv, 0, "PPM", decode_ppm},
    {"GIF8"sv, 0, "GIF", nullptr},
    {"WEBP"sv, 8, "WebP", nullptr},
    {"II*\0"sv, 0, "TIFF", nullptr},
    {"MM\0*"sv, 0, "TIFF", nullptr},
    {"ftypavif"sv, 4, "AVIF", nullptr},
    {"ftyphei"sv, 4, "HEIF", nullptr},
    {"jP  \r\n\x87\n"sv, 4, "JPEG 2000", nullptr},
};

bool begins_with(std::span<const uint8_t> file, const Format& format) {
    return file.size() >= format.offset + format.signature.size() &&
           std::equal(format.signature.begin(), format.signature.end(), file.begin() + format.offset,
                      [](char a, uint8_t b) { return static_cast<uint8_t>(a) == b; });
}

}  // namespace

ImageBytes blank_image(int64_t height, int64_t width, uint64_t file_bytes, int64_t most_per_byte,
                       const std::string& name) {
    check(height > 0 && width > 0, "image: ", name, " is damaged: its size is ", width, "x", height, " pixels");
    check(height <= most_image_pixels && width <= most_image_pixels && height * width <= most_image_pixels,
          "image: ", name, " has ", width, "x", height, " pixels; at most 2^26 are supported");
    check(height * width / most_per_byte <= static_cast<int64_t>(file_bytes), "image: ", name,
          " is damaged or truncated: ", file_bytes, " bytes cannot hold ", width, "x", height, " pixels");
    return {height, width, std::vector<uint8_t>(static_cast<std::size_t>(height * width * 3))};
}

ImageBytes decode_image(std::span<const uint8_t> file, const std::string& name) {
    for (const Format& format : formats) {
        if (!begins_with(file, format)) continue;
        check(format.decode != nullptr, "image: ", name, " is a ", format.name,
              " file; JPEG, PNG, BMP and PPM files are read");
        return format.decode(file, name);
    }
    fail("image: ", name, " is not a JPEG, PNG, BMP or PPM file");
}

ImageBytes read_image(const std::filesystem::path& path) {
    std::error_code unknown;
    check(!std::filesystem::is_other(path, unknown), "image: ", path.string(), " is a device or a pipe, not a file");
    return decode_image(read_file(path), path.string());
}

}  // namespace lethe
