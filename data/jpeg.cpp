// JPEG by libjpeg-turbo with its default settings (exact integer DCT, smooth upsampling of colour), which are PIL's,
// too.
// jpeglib.h wants the types of stdio.h, jerror.h those of jpeglib.h.
// clang-format off
#include <cstdio>
#include <jpeglib.h>
#include <jerror.h>
// clang-format on

#include <algorithm>
#include <cstdlib>

#include "data/image_formats.h"
#include "tensor/error.h"

namespace lethe {
namespace {

// A scan refines the whole picture and may take a few bytes only, so that a small file could keep us busy for hours.
// Encoders write ten or so.
constexpr int most_scans = 500;

// Every block of 64 samples takes a bit at least, and every pixel lies in a block; subsampling by up to 4x4 spares
// 15 of 16 blocks of all components but one, or 3 of 4 of two components.
constexpr int64_t most_jpeg_pixels_per_byte = 64 * 8 * 4;

class Decoder {
public:
    Decoder() {
        state.err = jpeg_std_error(&errors_);
        state.client_data = this;
        errors_.error_exit = [](j_common_ptr common) {
            Decoder& self = of(common);
            self.leave(self.text());
        };
        errors_.emit_message = [](j_common_ptr common, int level) {
            Decoder& self = of(common);
            if (level < 0 && self.is_corruption()) self.leave(self.text());
        };
        progress_.progress_monitor = [](j_common_ptr common) {
            Decoder& self = of(common);
            if (self.state.input_scan_number > most_scans) self.leave("more than 500 scans");
        };
    }
    ~Decoder() { jpeg_destroy_decompress(&state); }
    Decoder(const Decoder&) = delete;
    Decoder& operator=(const Decoder&) = delete;

    void read_header(std::span<const uint8_t> file) {
        jpeg_create_decompress(&state);
        state.progress = &progress_;
        jpeg_mem_src(&state, file.data(), file.size());
        jpeg_read_header(&state, TRUE);
    }

    // Rows of width * state.output_components bytes.
    void read_rows(uint8_t* rows) {
        jpeg_start_decompress(&state);
        const std::size_t stride = std::size_t{state.output_width} * static_cast<std::size_t>(state.output_components);
        while (state.output_scanline < state.output_height) {
            constexpr std::size_t most = 16;
            uint8_t* pointers[most];
            const std::size_t left = std::min<std::size_t>(most, state.output_height - state.output_scanline);
            for (std::size_t i = 0; i < left; ++i) pointers[i] = rows + (state.output_scanline + i) * stride;
            jpeg_read_scanlines(&state, pointers, static_cast<JDIMENSION>(left));
        }
        jpeg_finish_decompress(&state);
    }

    jpeg_decompress_struct state{};
    Escape escape;

private:
    static Decoder& of(j_common_ptr common) { return *static_cast<Decoder*>(common->client_data); }

    [[noreturn]] void leave(const char* message) {
        std::snprintf(escape.message, sizeof(escape.message), "%s", message);
        std::longjmp(escape.place, 1);
    }
    const char* text() {
        (*errors_.format_message)(reinterpret_cast<j_common_ptr>(&state), text_);
        return text_;
    }
    // Of libjpeg's warnings those after which pixels are guessed. The others are about markers that do not matter here
    // and about superfluous bytes between segments, which some cameras write.
    bool is_corruption() const {
        switch (errors_.msg_code) {
            case JWRN_ADOBE_XFORM:
            case JWRN_BOGUS_ICC:
            case JWRN_EXTRANEOUS_DATA:
            case JWRN_JFIF_MAJOR:
                return false;
            default:
                return true;
        }
    }

    jpeg_error_mgr errors_{};
    jpeg_progress_mgr progress_{};
    char text_[JMSG_LENGTH_MAX] = "";
};

class Encoder {
public:
    Encoder() {
        state.err = jpeg_std_error(&errors_);
        state.client_data = this;
        errors_.error_exit = [](j_common_ptr common) {
            Encoder& self = *static_cast<Encoder*>(common->client_data);
            (*common->err->format_message)(common, self.escape.message);
            std::longjmp(self.escape.place, 1);
        };
    }
    ~Encoder() {
        jpeg_destroy_compress(&state);
        std::free(bytes);
    }
    Encoder(const Encoder&) = delete;
    Encoder& operator=(const Encoder&) = delete;

    void write(int64_t height, int64_t width, std::span<const uint8_t> pixels, int quality) {
        jpeg_create_compress(&state);
        jpeg_mem_dest(&state, &bytes, &size);
        state.image_width = static_cast<JDIMENSION>(width);
        state.image_height = static_cast<JDIMENSION>(height);
        state.input_components = 3;
        state.in_color_space = JCS_RGB;
        jpeg_set_defaults(&state);
        jpeg_set_quality(&state, quality, TRUE);
        jpeg_start_compress(&state, TRUE);
        while (state.next_scanline < state.image_height) {
            // libjpeg's interface is older than const; it only reads.
            auto* row = const_cast<uint8_t*>(pixels.data()) + std::size_t{state.next_scanline} * 3 * state.image_width;
            jpeg_write_scanlines(&state, &row, 1);
        }
        jpeg_finish_compress(&state);
    }

    jpeg_compress_struct state{};
    Escape escape;
    unsigned char* bytes = nullptr;  // libjpeg's malloc
    unsigned long size = 0;

private:
    jpeg_error_mgr errors_{};
};

// As PIL converts: inks are stored inverted, and the black ink scales what the others leave of the light.
void cmyk_to_rgb(std::span<const uint8_t> inks, uint8_t* rgb) {
    for (std::size_t i = 0; i < inks.size(); i += 4, rgb += 3)
        for (std::size_t c = 0; c < 3; ++c) {
            const int light = inks[i + 3], product = (255 - inks[i + c]) * light + 128;
            rgb[c] = static_cast<uint8_t>(light - ((product + (product >> 8)) >> 8));
        }
}

}  // namespace

ImageBytes decode_jpeg(std::span<const uint8_t> file, const std::string& name) {
    Decoder decoder;
    const auto run = [&](const auto& step) {
        check(attempt(decoder.escape, step), "image: ", name, " is a damaged, truncated or unusual JPEG file (",
              decoder.escape.message, ")");
    };
    run([&] { decoder.read_header(file); });
    jpeg_decompress_struct& state = decoder.state;
    check(state.arith_code == 0, "image: ", name, " is an arithmetic-coded JPEG file; Huffman-coded ones are read");
    const int components = state.num_components;
    check(components == 1 || components == 3 || components == 4, "image: ", name, " is a JPEG file with ", components,
          " components; grey, colour and CMYK ones are read");
    ImageBytes image = blank_image(state.image_height, state.image_width, file.size(), most_jpeg_pixels_per_byte, name);
    if (components < 4) {
        state.out_color_space = JCS_RGB;
        run([&] { decoder.read_rows(image.pixels.data()); });
    } else {
        state.out_color_space = JCS_CMYK;
        std::vector<uint8_t> inks(image.pixels.size() / 3 * 4);
        run([&] { decoder.read_rows(inks.data()); });
        cmyk_to_rgb(inks, image.pixels.data());
    }
    return image;
}

std::vector<uint8_t> encode_jpeg(int64_t height, int64_t width, std::span<const uint8_t> pixels, int quality) {
    check(height >= 1 && width >= 1 && height <= JPEG_MAX_DIMENSION && width <= JPEG_MAX_DIMENSION,
          "JPEG: sides must be 1 to ", JPEG_MAX_DIMENSION, ", got ", height, "x", width);
    check(static_cast<int64_t>(pixels.size()) == height * width * 3, "JPEG: ", pixels.size(), " bytes for ", height,
          "x", width, " RGB pixels");
    check(quality >= 1 && quality <= 100, "JPEG: the quality must be 1 to 100, got ", quality);
    Encoder encoder;
    check(attempt(encoder.escape, [&] { encoder.write(height, width, pixels, quality); }),
          "JPEG: ", encoder.escape.message);
    return {encoder.bytes, encoder.bytes + encoder.size};
}

}  // namespace lethe
