// The fully connected layer and its gradients: every way in which the factors of a matrix product can lie in memory.
#include <cmath>
#include <limits>

#include "tests/support/devices.h"
#include "tests/support/reference.h"

namespace lethe::test {
namespace {

using reference::Array;

struct Case {
    int64_t rows, in, out;
};
// One element; less than a tile and more, in each direction; sizes that can be read 16 bytes at a time and sizes that
// cannot; and for each of the three products a result large enough for the larger tiles.
const std::vector<Case> cases = {{1, 1, 1},      {128, 64, 10},  {3, 64, 100}, {5, 33, 7},    {130, 66, 65},
                                 {67, 132, 68},  {64, 64, 64},   {33, 1, 129}, {1, 100, 257}, {2048, 4, 512},
                                 {2048, 512, 4}, {4, 512, 2048}, {300, 16, 12}};

std::string describe(const Case& c) { return concat(c.rows, " rows, ", c.in, " in, ", c.out, " out"); }

// Factors of size 1 and 0.25/sqrt(K) keep sums of K products below 1, as in tests/conv2d_test.cpp.
float unit(int64_t k) { return 0.25f / std::sqrt(static_cast<float>(k)); }

class DeviceLinearTest : public DeviceTest {
protected:
    // Compares the three products with the oracle.
    void check_products(const Tensor& x, const Tensor& w, const Tensor& b, const Tensor& grad_y) {
        const Array xs(x), ws(w), g(grad_y);
        EXPECT_TRUE(close(device().linear(x, w, b).to_nchw(), reference::linear(xs, ws, Array(b)), reduction,
                          static_cast<double>(x.dim(1) + 1)));
        EXPECT_TRUE(close(device().linear_grad_x(grad_y, w).to_nchw(), reference::linear_grad_x(g, ws), reduction,
                          static_cast<double>(w.dim(0))));
        EXPECT_TRUE(close(device().linear_grad_w(grad_y, x).to_nchw(), reference::linear_grad_w(g, xs), reduction,
                          static_cast<double>(x.dim(0))));
    }

    // A matrix that begins `offset` elements into its memory.
    Tensor shifted(int64_t rows, int64_t columns, int64_t offset, uint64_t seed, float scale) {
        return random({offset + rows * columns}, seed, scale)
            .rows(offset, offset + rows * columns)
            .reshape({rows, columns});
    }
};

TEST_P(DeviceLinearTest, AgreesWithTheOracle) {
    for (const Case& c : cases) {
        SCOPED_TRACE(describe(c));
        check_products(random({c.rows, c.in}, 1), random({c.out, c.in}, 2, unit(std::max(c.in, c.out))),
                       random({c.out}, 3), random({c.rows, c.out}, 4, unit(c.rows)));
    }
}

TEST_P(DeviceLinearTest, MatricesMayBeginAnywhere) {
    for (const int64_t offset : {1, 2, 3, 4})
        for (const Case& c : {Case{20, 8, 12}, Case{3, 5, 7}}) {
            SCOPED_TRACE(concat(describe(c), ", offset ", offset));
            check_products(shifted(c.rows, c.in, offset, 1, 1.0f), shifted(c.out, c.in, offset, 2, unit(c.in)),
                           random({c.out + offset}, 3).rows(offset, offset + c.out),
                           shifted(c.rows, c.out, offset, 4, unit(c.rows)));
        }
}

TEST_P(DeviceLinearTest, NoRows) {
    const Tensor x = on(Tensor::empty({0, 8})), w = random({6, 8}, 1), g = on(Tensor::empty({0, 6}));
    EXPECT_EQ(device().linear(x, w, random({6}, 2)).shape(), Shape({0, 6}));
    EXPECT_EQ(device().linear_grad_x(g, w).shape(), Shape({0, 8}));
    for (const float value : device().linear_grad_w(g, x).to_nchw()) EXPECT_EQ(value, 0.0f);
}

TEST_P(DeviceLinearTest, TheSameBitsEveryTime) {
    const Tensor x = random({200, 68}, 1), w = random({100, 68}, 2), b = random({100}, 3), g = random({200, 100}, 4);
    const auto run = [&] {
        return std::vector{device().linear(x, w, b).cpu(), device().linear_grad_x(g, w).cpu(),
                           device().linear_grad_w(g, x).cpu()};
    };
    const std::vector<Tensor> first = run(), second = run();
    for (std::size_t i = 0; i < first.size(); ++i) EXPECT_TRUE(identical(first[i], second[i])) << "result " << i;
}

// A row of NaN makes its own row of the result NaN and no other.
TEST_P(DeviceLinearTest, NanStaysInItsRow) {
    Tensor host = random_tensor({70, 20}, 1);
    host.rows(66, 67).fill(std::numeric_limits<float>::quiet_NaN());
    const std::vector<float> y = device().linear(on(host), random({10, 20}, 2), random({10}, 3)).to_nchw();
    for (std::size_t i = 0; i < y.size(); ++i) EXPECT_EQ(std::isnan(y[i]), i / 10 == 66) << "element " << i;
}

INSTANTIATE_TEST_SUITE_P(Device, DeviceLinearTest, all_devices(), device_name);

}  // namespace
}  // namespace lethe::test
