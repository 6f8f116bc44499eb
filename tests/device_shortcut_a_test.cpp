#include "tests/support/devices.h"
#include "tests/support/reference.h"

namespace lethe::test {
namespace {

using reference::Array;

struct Case {
    Shape x;
    int64_t channels, stride;
};
// Channels in packs of 8, of 4 and of neither; sizes that the stride does not divide.
const std::vector<Case> cases = {{{2, 16, 8, 8}, 32, 2}, {{1, 8, 5, 7}, 16, 2}, {{3, 4, 4, 4}, 12, 2},
                                 {{2, 3, 5, 5}, 7, 2},   {{1, 1, 1, 1}, 1, 1},  {{2, 5, 3, 4}, 5, 3},
                                 {{2, 33, 6, 2}, 35, 1}, {{0, 16, 8, 8}, 32, 2}};

Array shortcut(const Array& x, const Case& c) {
    const int64_t rows = (x.shape[2] + c.stride - 1) / c.stride, columns = (x.shape[3] + c.stride - 1) / c.stride;
    Array y({x.shape[0], c.channels, rows, columns});
    for (int64_t n = 0; n < x.shape[0]; ++n)
        for (int64_t k = 0; k < x.shape[1]; ++k)
            for (int64_t p = 0; p < rows; ++p)
                for (int64_t q = 0; q < columns; ++q)
                    y.at(n, (c.channels - x.shape[1]) / 2 + k, p, q) = x.at(n, k, p * c.stride, q * c.stride);
    return y;
}

// The transpose of the above: grad_x at the sampled pixels, zero elsewhere.
Array shortcut_grad(const Array& grad_y, const Case& c) {
    Array grad_x(c.x);
    for (int64_t n = 0; n < c.x[0]; ++n)
        for (int64_t k = 0; k < c.x[1]; ++k)
            for (int64_t h = 0; h < c.x[2]; h += c.stride)
                for (int64_t w = 0; w < c.x[3]; w += c.stride)
                    grad_x.at(n, k, h, w) = grad_y.at(n, (c.channels - c.x[1]) / 2 + k, h / c.stride, w / c.stride);
    return grad_x;
}

class DeviceShortcutATest : public DeviceTest {};

TEST_P(DeviceShortcutATest, SamplesAndPads) {
    for (const Case& c : cases) {
        const Tensor x = random(c.x, 1), y = device().shortcut_a(x, c.channels, c.stride);
        EXPECT_TRUE(close(y.to_nchw(), shortcut(Array(x), c), exact)) << c.x;
        const Tensor g = random(y.shape(), 2);
        EXPECT_TRUE(close(device().shortcut_a_grad(g, c.x, c.stride).to_nchw(), shortcut_grad(Array(g), c), exact))
            << c.x;
    }
}

TEST_P(DeviceShortcutATest, RowsMayStartAnywhere) {
    const Tensor x = random({2, 4, 3, 3}, 1), odd = random({3, 1, 1, 1}, 1);
    EXPECT_TRUE(
        identical(device().shortcut_a(x.rows(1, 2), 12, 2).cpu(), device().shortcut_a(x, 12, 2).cpu().rows(1, 2)));
    EXPECT_TRUE(
        identical(device().shortcut_a(odd.rows(1, 3), 9, 1).cpu(), device().shortcut_a(odd, 9, 1).cpu().rows(1, 3)));
}

INSTANTIATE_TEST_SUITE_P(Device, DeviceShortcutATest, all_devices(), device_name);

class DeviceShortcutABf16Test : public DeviceTest {};

TEST_P(DeviceShortcutABf16Test, MovesTheSameValues) {
    for (const Case& c : cases) {
        const auto half = [&](const Tensor& x) { return device().cast(x, DType::bfloat16); };
        const auto full = [&](const Tensor& x) { return device().cast(x, DType::float32).cpu(); };
        const Tensor x = half(random(c.x, 1)), y = device().shortcut_a(x, c.channels, c.stride);
        ASSERT_EQ(y.dtype(), DType::bfloat16);
        EXPECT_TRUE(close(full(y).to_nchw(), shortcut(Array(full(x)), c), exact)) << c.x;
        const Tensor g = half(random(y.shape(), 2)), grad_x = device().shortcut_a_grad(g, c.x, c.stride);
        ASSERT_EQ(grad_x.dtype(), DType::bfloat16);
        EXPECT_TRUE(close(full(grad_x).to_nchw(), shortcut_grad(Array(full(g)), c), exact)) << c.x;
    }
}

INSTANTIATE_TEST_SUITE_P(Device, DeviceShortcutABf16Test, gpu_devices(), device_name);

}  // namespace
}  // namespace lethe::test
