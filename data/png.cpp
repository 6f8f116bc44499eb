// PNG by libpng.
#include <png.h>

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "data/image_formats.h"
#include "tensor/error.h"

namespace lethe {
namespace {

// Deflate turns at most 1032 bytes into one (258 of them into two bits); a byte is eight pixels at most.
constexpr int64_t most_png_pixels_per_byte = 1032 * 8;
constexpr int64_t most_side = 1 << 20;  // of a picture to be written

// Errors, and warnings, too: they tell of damage, since chunks that do not matter here are skipped unread.
[[noreturn]] void leave(png_structp png, png_const_charp message) {
    Escape& escape = *static_cast<Escape*>(png_get_error_ptr(png));
    std::snprintf(escape.message, sizeof(escape.message), "%s", message);
    std::longjmp(escape.place, 1);
}

class Reader {
public:
    explicit Reader(std::span<const uint8_t> file) : left_(file) {}
    ~Reader() { png_destroy_read_struct(&png, &info, nullptr); }
    Reader(const Reader&) = delete;
    Reader& operator=(const Reader&) = delete;

    void read_header() {
        png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &escape, leave, leave);
        if (png == nullptr) return;
        info = png_create_info_struct(png);
        if (info == nullptr) png_error(png, "out of memory");
        png_set_read_fn(png, this, [](png_structp from, png_bytep to, std::size_t count) {
            Reader& self = *static_cast<Reader*>(png_get_io_ptr(from));
            if (count > self.left_.size()) png_error(from, "the file ends too early");
            std::memcpy(to, self.left_.data(), count);
            self.left_ = self.left_.subspan(count);
        });
        // Texts, colour profiles and the like; transparency, which is dropped, and so are its chunks.
        static const png_byte transparency[] = {'t', 'R', 'N', 'S', 0};
        png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, nullptr, -1);
        png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, transparency, 1);
        png_set_crc_action(png, PNG_CRC_ERROR_QUIT, PNG_CRC_ERROR_QUIT);
        png_read_info(png, info);
    }

    // 8-bit RGB, whatever the file has: palettes and small greys are expanded, of 16 bits the upper 8 are taken.
    void read_rows(uint8_t* rgb) {
        png_set_palette_to_rgb(png);
        png_set_expand_gray_1_2_4_to_8(png);
        png_set_strip_16(png);
        png_set_strip_alpha(png);
        png_set_gray_to_rgb(png);
        const int passes = png_set_interlace_handling(png);
        png_read_update_info(png, info);
        const std::size_t stride = std::size_t{png_get_image_width(png, info)} * 3;
        if (png_get_rowbytes(png, info) != stride) png_error(png, "an unexpected kind of pixel");
        for (int pass = 0; pass < passes; ++pass)
            for (std::size_t y = 0; y < png_get_image_height(png, info); ++y)
                png_read_row(png, rgb + y * stride, nullptr);
        png_read_end(png, nullptr);
    }

    png_structp png = nullptr;
    png_infop info = nullptr;
    Escape escape;

private:
    std::span<const uint8_t> left_;
};

}  // namespace

ImageBytes decode_png(std::span<const uint8_t> file, const std::string& name) {
    Reader reader(file);
    const auto run = [&](const auto& step) {
        check(attempt(reader.escape, step) && reader.png != nullptr, "image: ", name,
              " is a damaged or truncated PNG file (", reader.escape.message, ")");
    };
    run([&] { reader.read_header(); });
    check(png_get_bit_depth(reader.png, reader.info) < 16 ||
              png_get_color_type(reader.png, reader.info) != PNG_COLOR_TYPE_GRAY,
          "image: ", name, " is a grey PNG file of 16 bits per pixel, which PIL reads as white; convert it to 8 bits");
    ImageBytes image =
        blank_image(png_get_image_height(reader.png, reader.info), png_get_image_width(reader.png, reader.info),
                    file.size(), most_png_pixels_per_byte, name);
    run([&] { reader.read_rows(image.pixels.data()); });
    return image;
}

std::vector<uint8_t> encode_png(int64_t height, int64_t width, std::span<const uint8_t> pixels) {
    check(height > 0 && width > 0 && height <= most_side && width <= most_side &&
              static_cast<int64_t>(pixels.size()) == height * width * 3,
          "image: ", pixels.size(), " bytes for an RGB picture of ", width, "x", height);
    png_image picture{};
    picture.version = PNG_IMAGE_VERSION;
    picture.width = static_cast<png_uint_32>(width);
    picture.height = static_cast<png_uint_32>(height);
    picture.format = PNG_FORMAT_RGB;
    png_alloc_size_t bytes = PNG_IMAGE_PNG_SIZE_MAX(picture);
    std::vector<uint8_t> png(bytes);
    check(png_image_write_to_memory(&picture, png.data(), &bytes, 0, pixels.data(), 0, nullptr) != 0,
          "image: the PNG encoder failed (", picture.message, ")");
    png.resize(bytes);
    return png;
}

}  // namespace lethe
