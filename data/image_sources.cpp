#include "data/image_sources.h"

#include "data/file.h"

namespace lethe {

std::string FileImages::sha256(int64_t index) const { return sha256_file(file(index)); }

ImageBytes PixelImages::read(int64_t index) const {
    const auto bytes = static_cast<std::ptrdiff_t>(height_ * width_ * 3);
    const auto first = pixels_.begin() + index * bytes;
    return {height_, width_, std::vector<uint8_t>(first, first + bytes)};
}

std::string PixelImages::sha256(int64_t index) const { return lethe::sha256(read(index).pixels); }

}  // namespace lethe
