#include <cmath>
#include <limits>

#include "tests/support/devices.h"
#include "tests/support/reference.h"

namespace lethe::test {
namespace {

using reference::Array;

class DeviceReduceTest : public DeviceTest {};

TEST_P(DeviceReduceTest, SumOfEverything) {
    for (const int64_t n : {0, 1, 2, 3, 31, 33, 255, 1027, 8192, 8193, 300001}) {
        const Tensor x = random({n}, 1);
        double expected = 0.0, magnitude = 0.0;
        for (const double value : Array(x).values) {
            expected += value;
            magnitude += std::abs(value);
        }
        const float actual = device().sum(x).item();
        // The terms cancel, so what rounding may cost is proportional to their sizes.
        EXPECT_LE(std::abs(static_cast<double>(actual) - expected), 1e-12 * magnitude + 1e-7 * std::abs(expected))
            << n << " elements";
    }
}

// Big terms around small ones: only a sum in double keeps the small one.
TEST_P(DeviceReduceTest, SumsAreAddedUpInDouble) {
    std::vector<float> values(1000, 0.0f);
    values[0] = 1e9f;
    values[501] = 0.5f;
    values[999] = -1e9f;
    EXPECT_EQ(device().sum(on(Tensor::from_nchw({1000}, values))).item(), 0.5f);
    EXPECT_EQ(device().column_sum(on(Tensor::from_nchw({1000, 1}, values))).item(), 0.5f);
}

TEST_P(DeviceReduceTest, WhereARowLiesDoesNotChangeItsSums) {
    const Tensor x = random({9, 1003}, 1);
    const Tensor norms = device().row_norm(x).cpu();
    for (int64_t n = 0; n < 9; ++n) {
        const Tensor one = x.rows(n, n + 1), copy = one.clone();
        EXPECT_EQ(device().sum(one).item(), device().sum(copy).item());
        EXPECT_EQ(device().row_norm(copy).item(), norms.values()[static_cast<std::size_t>(n)]);
    }
}

TEST_P(DeviceReduceTest, NormsOfRows) {
    for (const Shape& shape :
         {Shape{3, 3, 32, 32}, Shape{1, 1}, Shape{17, 75}, Shape{4, 33}, Shape{2, 5000}, Shape{0, 7}, Shape{3, 0}}) {
        const Tensor x = random(shape, 1, 5.0f);
        Array expected({shape[0]});
        const Array values(x), zero(shape);
        if (shape.numel() > 0)
            for (int64_t n = 0; n < shape[0]; ++n) expected.at(n) = reference::row_distance(values, zero, n);
        EXPECT_TRUE(close(device().row_norm(x).to_nchw(), expected, elementwise)) << shape;
    }
}

// Squares of these overflow or vanish in float32.
TEST_P(DeviceReduceTest, NormsOfVeryLargeAndVerySmallRows) {
    const Tensor x = on(Tensor::from_nchw({2, 2}, std::vector<float>{3e30f, 4e30f, 3e-30f, 4e-30f}));
    const Tensor norms = device().row_norm(x).cpu();
    EXPECT_FLOAT_EQ(norms.values()[0], 5e30f);
    EXPECT_FLOAT_EQ(norms.values()[1], 5e-30f);
}

TEST_P(DeviceReduceTest, SumsOfColumns) {
    for (const Shape& shape : {Shape{1, 1}, Shape{7, 1}, Shape{5000, 1}, Shape{5, 3}, Shape{128, 10}, Shape{300, 33},
                               Shape{1000, 4}, Shape{64, 1000}, Shape{2000, 5}, Shape{0, 16}}) {
        const Tensor x = random(shape, 1);
        Array expected({shape[1]});
        const Array values(x);
        for (int64_t n = 0; n < shape[0]; ++n)
            for (int64_t c = 0; c < shape[1]; ++c) expected.at(c) += values.at(n, c);
        const auto k = static_cast<double>(shape[0]);
        EXPECT_TRUE(close(device().column_sum(x).to_nchw(), expected, reduction, k)) << shape;
    }
}

TEST_P(DeviceReduceTest, ColumnsOfRowsThatStartAnywhere) {
    const Tensor x = random({40, 5}, 1);
    EXPECT_TRUE(identical(device().column_sum(x.rows(1, 40)).cpu(), device().column_sum(x.rows(1, 40).clone()).cpu()));
}

TEST_P(DeviceReduceTest, NanIsNotLost) {
    std::vector<float> values(1000, 1.0f);
    values[777] = std::numeric_limits<float>::quiet_NaN();
    const Tensor x = on(Tensor::from_nchw({10, 100}, values));
    EXPECT_TRUE(std::isnan(device().sum(x).item()));
    const Tensor columns = device().column_sum(x).cpu(), norms = device().row_norm(x).cpu();
    for (std::size_t c = 0; c < 100; ++c) EXPECT_EQ(std::isnan(columns.values()[c]), c == 77);
    for (std::size_t n = 0; n < 10; ++n) EXPECT_EQ(std::isnan(norms.values()[n]), n == 7);
}

INSTANTIATE_TEST_SUITE_P(Device, DeviceReduceTest, all_devices(), device_name);

}  // namespace
}  // namespace lethe::test
