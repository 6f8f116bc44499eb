#include "tests/support/devices.h"

namespace lethe::test {
namespace {

// Channels below, at and above the width of a tile; images of less, exactly and more than one tile of pixels.
const std::vector<Shape> shapes = {{1, 1, 1, 1},   {2, 3, 32, 32}, {1, 3, 5, 7},   {2, 1, 33, 32},
                                   {3, 5, 13, 11}, {2, 16, 8, 8},  {1, 31, 9, 3},  {2, 32, 6, 6},
                                   {2, 33, 5, 7},  {1, 64, 8, 8},  {1, 100, 7, 5}, {0, 3, 4, 4}};

class DeviceLayoutTest : public DeviceTest {};

TEST_P(DeviceLayoutTest, BothOrdersHoldTheSameImages) {
    for (const Shape& shape : shapes) {
        const Tensor matrix = random_tensor({shape[0] * shape[1], shape[2] * shape[3]}, 1);
        const Tensor x = Tensor::from_nchw(shape, matrix.values());
        EXPECT_TRUE(identical(device().nchw_to_nhwc(on(matrix), shape).cpu(), x)) << shape;
        EXPECT_TRUE(identical(device().nhwc_to_nchw(on(x)).cpu(), matrix)) << shape;
    }
}

TEST_P(DeviceLayoutTest, RowsMayStartAnywhere) {
    const Tensor x = random({3, 3, 5, 3}, 1);
    EXPECT_TRUE(identical(device().nhwc_to_nchw(x.rows(1, 3)).cpu(), device().nhwc_to_nchw(x).cpu().rows(3, 9)));
}

INSTANTIATE_TEST_SUITE_P(Device, DeviceLayoutTest, all_devices(), device_name);

}  // namespace
}  // namespace lethe::test
