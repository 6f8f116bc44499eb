#include <algorithm>
#include <vector>

#include "data/dataset.h"
#include "tensor/error.h"
#include "tensor/parallel.h"

namespace lethe {
namespace {

struct Placement {
    int64_t down, right;  // where the crop's corner lies relative to the image's: -pad..pad
    bool mirrored;
};

Placement draw_placement(const Random& random, uint64_t item, int64_t pad) {
    const auto offset = [&](uint32_t index) { return random.below(2 * pad + 1, item, index) - pad; };
    return {offset(0), offset(1), random.uniform(item, 2) < 0.5f};
}

// Pixel [y,x] of the result is pixel [y + down, x + right] of the image (columns counted from the right when mirrored),
// zero outside it.
void crop_flip(float* image, int64_t height, int64_t width, int64_t channels, const Placement& placement) {
    const std::vector<float> source(image, image + height * width * channels);
    std::fill(image, image + height * width * channels, 0.0f);
    for (int64_t y = 0; y < height; ++y) {
        const int64_t from_y = y + placement.down;
        if (from_y < 0 || from_y >= height) continue;
        for (int64_t x = 0; x < width; ++x) {
            const int64_t from_x = (placement.mirrored ? width - 1 - x : x) + placement.right;
            if (from_x < 0 || from_x >= width) continue;
            std::copy_n(source.begin() + (from_y * width + from_x) * channels, channels,
                        image + (y * width + x) * channels);
        }
    }
}

}  // namespace

void augment_crop_flip(Tensor& images, std::span<const uint64_t> items, int64_t pad, const Random& random) {
    check(images.rank() == 4, "augment: images must be [N,C,H,W], got ", images.shape());
    check(static_cast<int64_t>(items.size()) == images.dim(0), "augment: ", items.size(), " items for ", images.dim(0),
          " images");
    check(pad >= 0, "augment: the padding must not be negative, got ", pad);
    const int64_t channels = images.dim(1), height = images.dim(2), width = images.dim(3);
    float* data = images.mutable_data();
    parallel_for(images.dim(0), [&](int64_t i) {
        const Placement placement = draw_placement(random, items[static_cast<std::size_t>(i)], pad);
        crop_flip(data + i * height * width * channels, height, width, channels, placement);
    });
}

}  // namespace lethe
