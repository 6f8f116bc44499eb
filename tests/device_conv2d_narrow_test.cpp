// 3x3 convolutions between few channels on tensor cores: the kernel of cuda/conv2d_narrow.cuh, and on a GPU whatever
// else may do them.
#include <algorithm>
#include <cmath>
#include <limits>

#include "tests/support/devices.h"
#include "tests/support/reference.h"

namespace lethe::test {
namespace {

using reference::Array;

constexpr Conv2d op{1, 1};

struct Layer {
    int64_t images, channels, filters, height, width;
};

std::string describe(const Layer& l) {
    return concat(l.images, "x", l.channels, "x", l.height, "x", l.width, " to ", l.filters);
}

// Every pair of channels and filters with small images, alone and several in a tile; a pair of each kind of kernel with
// images that fill tiles, and with some that leave most of the last ones empty.
std::vector<Layer> layers() {
    std::vector<Layer> result;
    for (const int64_t channels : {16, 32})
        for (const int64_t filters : {16, 32})
            for (const auto& [height, width] : {std::pair<int64_t, int64_t>{1, 1}, {5, 7}, {8, 8}})
                for (const int64_t images : {1, 3}) result.push_back({images, channels, filters, height, width});
    for (const auto& [channels, filters] : {std::pair<int64_t, int64_t>{16, 16}, {32, 32}, {16, 32}})
        result.push_back({1, channels, filters, 33, 17});
    result.push_back({1, 16, 16, 32, 32});
    result.push_back({1, 32, 32, 32, 32});
    result.push_back({3, 16, 32, 32, 32});
    result.push_back({3, 32, 16, 33, 17});
    return result;
}

class DeviceConv2dNarrowTest : public DeviceTest {
protected:
    void TearDown() override {
        device().set_precision(Precision::strict);
        DeviceTest::TearDown();
    }

    // A random tensor of bfloat16 numbers, which are TF32 numbers too: products are exact in both formats.
    Tensor rounded(const Shape& shape, uint64_t seed, float scale = 1.0f) {
        return device().cast(device().cast(random(shape, seed, scale), DType::bfloat16), DType::float32).cpu();
    }
    Tensor there(const Tensor& host, DType dtype) { return host.defined() ? device().cast(on(host), dtype) : Tensor(); }
    Tensor wide(const Tensor& result) { return device().cast(result, DType::float32).cpu(); }
    std::vector<float> back(const Tensor& result) { return wide(result).to_nchw(); }

    // Sums of k products are added up in float32; what is stored in bfloat16 is off by another 2^-8 of itself.
    static Tolerance tolerance(DType dtype, double k) {
        constexpr double eps = std::numeric_limits<float>::epsilon();
        return dtype == DType::float32 ? reduction : Tolerance{reduction.c + 0x1p-8 / (eps * std::sqrt(k)), 1e-6};
    }

    // On the CPU. Weights of size 0.25 / sqrt(K) keep sums of K products below 1.
    struct Problem {
        Problem(DeviceConv2dNarrowTest& test, const Layer& l)
            : k(static_cast<double>(9 * std::max(l.channels, l.filters))),
              x(test.rounded({l.images, l.channels, l.height, l.width}, 1)),
              w(test.rounded({l.filters, l.channels, 3, 3}, 2, static_cast<float>(0.25 / std::sqrt(k)))),
              bias(random_tensor({l.filters}, 3)),
              grad_y(test.rounded({l.images, l.filters, l.height, l.width}, 4)),
              residual(test.rounded(grad_y.shape(), 5)),
              skip(test.rounded(x.shape(), 6)),
              mask(test.rounded(x.shape(), 7)) {}

        double k;
        Tensor x, w, bias, grad_y, residual, skip, mask;
    };

    Tensor forward(const Problem& p, DType dtype, bool with_residual, bool relu) {
        return device().conv2d_fused(there(p.x, dtype), on(p.w), on(p.bias),
                                     with_residual ? there(p.residual, dtype) : Tensor(), relu, op);
    }
    Tensor backward(const Problem& p, DType dtype, bool with_skip) {
        return device().conv2d_grad_x_masked(there(p.grad_y, dtype), on(p.w), op,
                                             with_skip ? there(p.skip, dtype) : Tensor(), there(p.mask, dtype));
    }

    void set_precision(DType dtype) {
        device().set_precision(dtype == DType::float32 ? Precision::tf32 : Precision::bf16);
    }
};

TEST_P(DeviceConv2dNarrowTest, Forward) {
    for (const Layer& l : layers()) {
        const Problem p(*this, l);
        const Array sums = reference::conv2d(Array(p.x), Array(p.w), op), bias(p.bias), residual(p.residual);
        for (const DType dtype : {DType::float32, DType::bfloat16}) {
            set_precision(dtype);
            const auto agrees = [&](const Tensor& y, bool with_bias, bool with_residual, bool relu) {
                Array expected = sums;
                for (std::size_t i = 0; i < sums.values.size(); ++i) {
                    if (with_bias)
                        expected.values[i] += bias.at(static_cast<int64_t>(i) / l.height / l.width % l.filters);
                    if (with_residual) expected.values[i] += residual.values[i];
                    if (relu) expected.values[i] = std::max(expected.values[i], 0.0);
                }
                EXPECT_EQ(y.dtype(), dtype);
                EXPECT_TRUE(close(back(y), expected, tolerance(dtype, p.k), p.k))
                    << describe(l) << ", " << (dtype == DType::float32 ? "TF32" : "bfloat16") << ", bias " << with_bias
                    << ", residual " << with_residual << ", relu " << relu;
            };
            agrees(device().conv2d(there(p.x, dtype), on(p.w), op), false, false, false);
            agrees(forward(p, dtype, true, true), true, true, true);
            if (l.height > 8) continue;
            agrees(forward(p, dtype, false, false), true, false, false);
            agrees(forward(p, dtype, false, true), true, false, true);
            agrees(forward(p, dtype, true, false), true, true, false);
        }
    }
}

TEST_P(DeviceConv2dNarrowTest, GradientForTheInput) {
    for (const Layer& l : layers()) {
        const Problem p(*this, l);
        const Array sums = reference::conv2d_grad_x(Array(p.grad_y), Array(p.w), p.x.shape(), op), skip(p.skip);
        const Array mask(p.mask);
        for (const DType dtype : {DType::float32, DType::bfloat16}) {
            set_precision(dtype);
            const auto agrees = [&](const Tensor& grad_x, bool with_skip, bool with_mask) {
                Array expected = sums;
                for (std::size_t i = 0; i < sums.values.size(); ++i) {
                    if (with_skip) expected.values[i] += skip.values[i];
                    if (with_mask && mask.values[i] <= 0.0) expected.values[i] = 0.0;
                }
                EXPECT_EQ(grad_x.dtype(), dtype);
                EXPECT_TRUE(close(back(grad_x), expected, tolerance(dtype, p.k), p.k))
                    << describe(l) << ", " << (dtype == DType::float32 ? "TF32" : "bfloat16") << ", skip " << with_skip
                    << ", mask " << with_mask;
            };
            agrees(device().conv2d_grad_x(there(p.grad_y, dtype), on(p.w), p.x.shape(), op), false, false);
            agrees(backward(p, dtype, true), true, true);
            if (l.height > 8) continue;
            agrees(backward(p, dtype, false), false, true);
        }
    }
}

// TF32 keeps 10 bits of mantissa, bfloat16 7: what is lost in each factor is up to half of the last of them.
TEST_P(DeviceConv2dNarrowTest, RoundsFactorsToNearest) {
    const Layer l{2, 32, 16, 6, 9};
    Problem p(*this, l);
    p.w = random_tensor(p.w.shape(), 8, 0.02f);
    Array x(p.x), w(p.w);
    const Array y = reference::conv2d(x, w, op);
    for (double& value : x.values) value = std::abs(value);
    for (double& value : w.values) value = std::abs(value);
    const double magnitude = std::ranges::max(reference::conv2d(x, w, op).values);
    constexpr double eps = std::numeric_limits<float>::epsilon();
    for (const auto& [dtype, factor, stored] :
         {std::tuple{DType::float32, 0x1p-10, 0.0}, std::tuple{DType::bfloat16, 0x1p-8, 0x1p-8}}) {
        set_precision(dtype);
        EXPECT_TRUE(
            close(back(device().conv2d(there(p.x, dtype), on(p.w), op)), y, {stored / eps, factor * magnitude}));
    }
    // bfloat16: as if the weights had been rounded before.
    const Tensor actual = device().conv2d(there(p.x, DType::bfloat16), on(p.w), op);
    const Tensor weights = device().cast(device().cast(on(p.w), DType::bfloat16), DType::float32);
    EXPECT_TRUE(identical(wide(actual), wide(device().conv2d(there(p.x, DType::bfloat16), weights, op))));
}

// A border that came from a neighbouring image or row would be seen here: only one pixel is not zero.
TEST_P(DeviceConv2dNarrowTest, OnePixelReachesItsNeighboursOnly) {
    for (const DType dtype : {DType::float32, DType::bfloat16}) {
        set_precision(dtype);
        for (const auto& [row, column] : {std::pair<int64_t, int64_t>{0, 0}, {7, 7}, {8, 15}, {15, 16}, {9, 31}}) {
            Tensor x = Tensor::empty({3, 16, 16, 40}), w = Tensor::empty({16, 16, 3, 3});
            x.fill(0.0f);
            w.fill(1.0f);
            std::vector<float> values = x.to_nchw();
            values[static_cast<std::size_t>(((1 * 16 + 5) * 16 + row) * 40 + column)] = 1.0f;
            x = Tensor::from_nchw(x.shape(), values);
            const std::vector<float> y = back(device().conv2d(there(x, dtype), on(w), op));
            for (int64_t i = 0; i < static_cast<int64_t>(y.size()); ++i) {
                const int64_t q = i % 40, p = i / 40 % 16, image = i / 40 / 16 / 16;
                const bool seen = image == 1 && std::abs(p - row) <= 1 && std::abs(q - column) <= 1;
                ASSERT_EQ(y[static_cast<std::size_t>(i)], seen ? 1.0f : 0.0f) << "pixel " << p << ", " << q;
            }
        }
    }
}

TEST_P(DeviceConv2dNarrowTest, NanPassesThroughRelu) {
    const Layer l{1, 16, 32, 4, 4};
    for (const DType dtype : {DType::float32, DType::bfloat16}) {
        set_precision(dtype);
        Problem p(*this, l);
        p.x.fill(std::numeric_limits<float>::quiet_NaN());
        for (const bool with_residual : {false, true})
            for (const float value : back(forward(p, dtype, with_residual, true))) EXPECT_TRUE(std::isnan(value));
    }
}

// Images of one pixel, which may begin anywhere.
TEST_P(DeviceConv2dNarrowTest, TensorsMayBeginAnywhere) {
    const auto shifted = [&](const Shape& shape, int64_t offset, uint64_t seed, DType dtype) {
        return there(rounded({offset + shape.numel()}, seed, 0.1f), dtype)
            .rows(offset, offset + shape.numel())
            .reshape(shape);
    };
    const Shape images{5, 16, 1, 1}, outputs{5, 32, 1, 1};
    const Tensor w = on(rounded({32, 16, 3, 3}, 2, 0.05f));
    for (const DType dtype : {DType::float32, DType::bfloat16}) {
        set_precision(dtype);
        for (const auto& [offset, offset_y] : {std::pair{1, 1}, {2, 0}, {0, 3}, {4, 8}, {8, 16}}) {
            SCOPED_TRACE(concat(offset, " and ", offset_y));
            const Tensor x = shifted(images, offset, 1, dtype), g = shifted(outputs, offset_y, 3, dtype);
            const Tensor skip = shifted(images, offset, 5, dtype), mask = shifted(images, offset_y, 6, dtype);
            const Tensor bias = random({offset + 32}, 4).rows(offset, offset + 32);
            const auto array = [&](const Tensor& tensor) { return Array(device().cast(tensor, DType::float32)); };
            const Array gs = array(g), b(bias), skips = array(skip), masks = array(mask);
            Array y = reference::conv2d(array(x), Array(w), op);
            for (int64_t n = 0; n < 5; ++n)
                for (int64_t k = 0; k < 32; ++k) y.at(n, k) += b.at(k) + gs.at(n, k);
            Array grad_x = reference::conv2d_grad_x(gs, Array(w), images, op);
            for (std::size_t i = 0; i < grad_x.values.size(); ++i)
                grad_x.values[i] = masks.values[i] > 0.0 ? grad_x.values[i] + skips.values[i] : 0.0;
            EXPECT_TRUE(close(back(device().conv2d_fused(x, w, bias, g, false, op)), y, tolerance(dtype, 16), 16));
            EXPECT_TRUE(
                close(back(device().conv2d_grad_x_masked(g, w, op, skip, mask)), grad_x, tolerance(dtype, 32), 32));
        }
    }
}

TEST_P(DeviceConv2dNarrowTest, NoImages) {
    set_precision(DType::float32);
    const Tensor x = on(Tensor::empty({0, 16, 4, 4})), w = random({32, 16, 3, 3}, 1),
                 g = on(Tensor::empty({0, 32, 4, 4}));
    EXPECT_EQ(device().conv2d(x, w, op).shape(), g.shape());
    EXPECT_EQ(device().conv2d_grad_x(g, w, x.shape(), op).shape(), x.shape());
}

TEST_P(DeviceConv2dNarrowTest, TheSameBitsEveryTimeAndInAnyBatch) {
    for (const DType dtype : {DType::float32, DType::bfloat16})
        for (const Layer& l : {Layer{5, 16, 16, 8, 8}, Layer{3, 32, 32, 9, 17}, Layer{3, 16, 32, 7, 33}}) {
            SCOPED_TRACE(describe(l));
            set_precision(dtype);
            const Problem p(*this, l);
            const Tensor y = wide(forward(p, dtype, true, true)), grad_x = wide(backward(p, dtype, true));
            EXPECT_TRUE(identical(wide(forward(p, dtype, true, true)), y));
            EXPECT_TRUE(identical(wide(backward(p, dtype, true)), grad_x));
            for (int64_t n = 0; n < l.images; ++n) {
                Problem one = p;
                for (Tensor* tensor : {&one.x, &one.grad_y, &one.residual, &one.skip, &one.mask})
                    *tensor = tensor->rows(n, n + 1);
                EXPECT_TRUE(identical(wide(forward(one, dtype, true, true)), y.rows(n, n + 1)));
                EXPECT_TRUE(identical(wide(backward(one, dtype, true)), grad_x.rows(n, n + 1)));
            }
        }
}

INSTANTIATE_TEST_SUITE_P(Device, DeviceConv2dNarrowTest, gpu_devices(), device_name);

}  // namespace
}  // namespace lethe::test
