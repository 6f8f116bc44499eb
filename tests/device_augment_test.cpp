#include "data/dataset.h"
#include "tests/support/devices.h"
#include "tests/support/reference.h"

namespace lethe::test {
namespace {

using reference::Array;

Array cropped(const Array& x, const std::vector<CropFlip>& placements) {
    Array y(x.shape);
    const int64_t height = x.shape[2], width = x.shape[3];
    for (int64_t n = 0; n < x.shape[0]; ++n) {
        const CropFlip& place = placements[static_cast<std::size_t>(n)];
        for (int64_t c = 0; c < x.shape[1]; ++c)
            for (int64_t h = 0; h < height; ++h)
                for (int64_t w = 0; w < width; ++w) {
                    const int64_t v = h + place.down, u = (place.mirrored ? width - 1 - w : w) + place.right;
                    if (v >= 0 && v < height && u >= 0 && u < width) y.at(n, c, h, w) = x.at(n, c, v, u);
                }
    }
    return y;
}

// Every shift from outside on one side to outside on the other, in turn, mirrored every other time.
std::vector<CropFlip> some_placements(const Shape& shape) {
    std::vector<CropFlip> placements;
    for (int64_t n = 0; n < shape[0]; ++n)
        placements.push_back({n % (2 * shape[2] + 1) - shape[2], n * 5 % (2 * shape[3] + 1) - shape[3], n % 2 == 1});
    return placements;
}

class DeviceAugmentTest : public DeviceTest {};

TEST_P(DeviceAugmentTest, EveryImageGoesWhereItsPlacementSays) {
    for (const Shape& shape : {Shape{1, 1, 1, 1}, Shape{11, 3, 5, 7}, Shape{6, 1, 4, 4}, Shape{5, 5, 3, 2},
                               Shape{3, 16, 6, 6}, Shape{0, 3, 4, 4}, Shape{300, 1, 2, 3}, Shape{2, 3, 32, 32}}) {
        const Tensor x = random(shape, 1);
        Tensor images = x.clone();
        const uint64_t version = images.version();
        device().crop_flip(images, some_placements(shape));
        EXPECT_TRUE(close(images.to_nchw(), cropped(Array(x), some_placements(shape)), exact)) << shape;
        if (images.numel() > 0) {
            EXPECT_GT(images.version(), version);
        }
    }
}

TEST_P(DeviceAugmentTest, WritesItsRowsAlone) {
    Tensor images = random({5, 3, 3, 3}, 1);
    const Tensor before = images.clone();
    Tensor part = images.rows(1, 4);
    device().crop_flip(part, some_placements(part.shape()));
    EXPECT_TRUE(close(part.to_nchw(), cropped(Array(before.rows(1, 4)), some_placements(part.shape())), exact));
    for (const int64_t n : {0, 4}) EXPECT_TRUE(identical(images.rows(n, n + 1).cpu(), before.rows(n, n + 1).cpu()));
}

TEST_P(DeviceAugmentTest, DrawsTheSameEverywhere) {
    const Random random(4, Purpose::augment);
    const std::vector<uint64_t> items = {5, 6, 7, 1'000'000'000'000};
    Tensor there = this->random({4, 3, 8, 8}, 9), here = random_tensor({4, 3, 8, 8}, 9);
    augment_crop_flip(there, items, 3, random);
    augment_crop_flip(here, items, 3, random);
    EXPECT_TRUE(identical(there.cpu(), here));
}

INSTANTIATE_TEST_SUITE_P(Device, DeviceAugmentTest, all_devices(), device_name);

}  // namespace
}  // namespace lethe::test
