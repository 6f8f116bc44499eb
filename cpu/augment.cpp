#include "cpu/backend.h"
#include "cpu/chunks.h"

namespace lethe {
namespace {

void move_pixels(float* image, int64_t height, int64_t width, int64_t channels, const CropFlip& placement) {
    const int64_t size = height * width * channels;
    const Scratch<float> source(size);
    std::copy_n(image, size, source.data());
    std::fill_n(image, size, 0.0f);
    for (int64_t y = 0; y < height; ++y) {
        const int64_t from_y = y + placement.down;
        if (from_y < 0 || from_y >= height) continue;
        for (int64_t x = 0; x < width; ++x) {
            const int64_t from_x = (placement.mirrored ? width - 1 - x : x) + placement.right;
            if (from_x < 0 || from_x >= width) continue;
            std::copy_n(source.data() + (from_y * width + from_x) * channels, channels,
                        image + (y * width + x) * channels);
        }
    }
}

}  // namespace

void CpuBackend::crop_flip_impl(Tensor& images, std::span<const CropFlip> placements) {
    const int64_t channels = images.dim(1), height = images.dim(2), width = images.dim(3);
    float* data = images.mutable_data();
    for_chunks(images.dim(0), 1, [&](int64_t i, int64_t) {
        move_pixels(data + i * height * width * channels, height, width, channels,
                    placements[static_cast<std::size_t>(i)]);
    });
}

}  // namespace lethe
