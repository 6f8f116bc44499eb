#include <vector>

#include "data/dataset.h"
#include "tensor/backend.h"
#include "tensor/error.h"

namespace lethe {
namespace {

// The corner of the crop lies -pad..pad pixels away from the image's.
CropFlip draw_placement(const Random& random, uint64_t item, int64_t pad) {
    const auto offset = [&](uint32_t index) { return random.below(2 * pad + 1, item, index) - pad; };
    return {offset(0), offset(1), random.uniform(item, 2) < 0.5f};
}

}  // namespace

void augment_crop_flip(Tensor& images, std::span<const uint64_t> items, int64_t pad, const Random& random) {
    check(images.rank() == 4, "augment: images must be [N,C,H,W], got ", images.shape());
    check(static_cast<int64_t>(items.size()) == images.dim(0), "augment: ", items.size(), " items for ", images.dim(0),
          " images");
    check(pad >= 0, "augment: the padding must not be negative, got ", pad);
    std::vector<CropFlip> placements;
    placements.reserve(items.size());
    for (const uint64_t item : items) placements.push_back(draw_placement(random, item, pad));
    backend(images).crop_flip(images, placements);
}

}  // namespace lethe
