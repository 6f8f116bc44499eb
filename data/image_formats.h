// What the decoders behind decode_image() share. Private to data/.
#pragma once

#include <csetjmp>
#include <cstdint>
#include <span>
#include <string>

#include "data/image_file.h"

namespace lethe {

// Each begins after the signature has been recognised and throws Error naming the image.
ImageBytes decode_jpeg(std::span<const uint8_t> file, const std::string& name);
ImageBytes decode_png(std::span<const uint8_t> file, const std::string& name);
ImageBytes decode_bmp(std::span<const uint8_t> file, const std::string& name);
ImageBytes decode_ppm(std::span<const uint8_t> file, const std::string& name);

// An image of that size, to be filled in. Throws Error when it has no or more than 2^26 pixels, or more than
// file_bytes * most_per_byte: then the file cannot hold it, and no memory is spent on what its header claims.
ImageBytes blank_image(int64_t height, int64_t width, uint64_t file_bytes, int64_t most_per_byte,
                       const std::string& name);

// libjpeg and libpng report errors through a callback that must not return. It writes `message` and longjmps to
// `place`. That skips destructors, so what runs inside attempt() owns nothing: memory is allocated outside.
struct Escape {
    std::jmp_buf place;
    char message[256] = "out of memory";
};

// False when `step` left through the escape.
template <class Step>
bool attempt(Escape& escape, const Step& step) {
    if (setjmp(escape.place) != 0) return false;
    step();
    return true;
}

}  // namespace lethe
