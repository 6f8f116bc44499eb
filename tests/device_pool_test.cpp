#include <gmock/gmock.h>

#include <cmath>
#include <limits>

#include "tests/support/devices.h"
#include "tests/support/reference.h"

namespace lethe::test {
namespace {

using reference::Array;

struct Case {
    Shape x;
    Pool2d op;
};
// Windows that overlap, that touch and that leave pixels out; channels in packs of 8, of 4 and of neither.
const std::vector<Case> cases = {{{2, 16, 8, 8}, {2, 2, 0}},
                                 {{3, 5, 9, 7}, {3, 2, 1}},
                                 {{1, 64, 16, 16}, {3, 2, 1}},
                                 {{5, 3, 4, 4}, {2, 2, 0}},
                                 {{1, 1, 1, 1}, {1, 1, 0}},
                                 {{2, 33, 5, 11}, {3, 1, 1}},
                                 {{1, 4, 7, 7}, {4, 3, 2}},
                                 {{2, 12, 9, 9}, {2, 3, 0}},
                                 {{0, 4, 8, 8}, {2, 2, 0}},
                                 {{1, 8, 40, 70}, {3, 2, 1}},
                                 // a last window that hangs over, that would begin outside, that fits
                                 {{2, 8, 6, 10}, {3, 2, 0, true}},
                                 {{1, 5, 7, 4}, {3, 2, 1, true}},
                                 {{2, 3, 5, 5}, {2, 2, 1, true}},
                                 {{1, 4, 2, 9}, {3, 4, 0, true}}};

std::string describe(const Case& c) {
    return concat(c.x, ", kernel ", c.op.kernel, ", stride ", c.op.stride, ", pad ", c.op.pad,
                  c.op.ceil ? ", ceil" : "");
}

// Offset in channels-last storage of the element at a flattened NCHW offset.
int64_t storage_offset(int64_t logical, const Shape& shape) {
    const int64_t area = shape[2] * shape[3], pixel = logical % area, channel = logical / area % shape[1];
    return (logical / (area * shape[1]) * area + pixel) * shape[1] + channel;
}

void expect_winners(const Tensor& argmax, const std::vector<int64_t>& winners, const Shape& y, const Shape& x) {
    const Tensor host = argmax.cpu();
    for (std::size_t i = 0; i < winners.size(); ++i)
        ASSERT_EQ(host.int64_data()[storage_offset(static_cast<int64_t>(i), y)], storage_offset(winners[i], x));
}

Array gradient(const Array& g, const std::vector<int64_t>& winners, const Shape& x) {
    Array grad_x(x);
    for (std::size_t i = 0; i < winners.size(); ++i) grad_x.values[static_cast<std::size_t>(winners[i])] += g.values[i];
    return grad_x;
}

Array average_gradient(const Array& g, const Shape& x) {
    Array expected(x);
    const int64_t area = x[2] * x[3];
    for (int64_t i = 0; i < x.numel(); ++i)
        expected.values[static_cast<std::size_t>(i)] =
            g.values[static_cast<std::size_t>(i / area)] / static_cast<double>(area);
    return expected;
}

const std::vector<Shape> average_shapes = {{3, 64, 8, 8}, {2, 5, 3, 7},  {1, 1, 1, 1},  {17, 100, 2, 2},
                                           {2, 33, 9, 9}, {0, 16, 4, 4}, {1, 1, 40, 40}};

class DevicePoolTest : public DeviceTest {};

TEST_P(DevicePoolTest, MaximumWinnersAndGradient) {
    for (const Case& c : cases) {
        SCOPED_TRACE(describe(c));
        const Tensor x = random(c.x, 1), g = random(c.op.output_shape(c.x), 2);
        Tensor argmax;
        const Tensor y = device().max_pool2d(x, c.op, argmax);
        std::vector<int64_t> winners;
        EXPECT_TRUE(close(y.to_nchw(), reference::max_pool2d(Array(x), c.op, winners), exact));
        expect_winners(argmax, winners, y.shape(), c.x);
        EXPECT_TRUE(close(device().max_pool2d_grad(g, argmax, c.x, c.op).to_nchw(), gradient(Array(g), winners, c.x),
                          reduction, static_cast<double>(c.op.kernel * c.op.kernel)));
    }
}

TEST_P(DevicePoolTest, TheFirstOfEqualMaximaWinsAndNanIsNotLost) {
    for (const int64_t channels : {1, 4, 8}) {
        Tensor argmax, x = Tensor::full({1, channels, 2, 2}, 5.0f);
        device().max_pool2d(on(x), {2, 2, 0}, argmax);
        for (int64_t c = 0; c < channels; ++c) EXPECT_EQ(argmax.cpu().int64_data()[c], c);
        x.mutable_data()[2 * channels] = std::numeric_limits<float>::quiet_NaN();
        x.mutable_data()[3 * channels] = std::numeric_limits<float>::quiet_NaN();
        EXPECT_TRUE(std::isnan(device().max_pool2d(on(x), {2, 2, 0}, argmax).cpu().data()[0]));
        EXPECT_EQ(argmax.cpu().int64_data()[0], 2 * channels);
    }
}

TEST_P(DevicePoolTest, MinusInfinityIsAMaximumToo) {
    const float lowest = -std::numeric_limits<float>::infinity();
    Tensor argmax;
    const Tensor y = device().max_pool2d(on(Tensor::full({1, 4, 4, 4}, lowest)), {3, 2, 1}, argmax).cpu();
    for (const float value : y.values()) EXPECT_EQ(value, lowest);
    const Tensor winners = argmax.cpu();
    EXPECT_EQ(winners.int64_data()[0], 0);
    EXPECT_EQ(winners.int64_data()[15], 5 * 4 + 3);  // the last window, cut to nothing, begins at pixel [1,1]
}

TEST_P(DevicePoolTest, AverageAndItsGradient) {
    for (const Case& c : cases) {
        SCOPED_TRACE(describe(c));
        const Tensor x = random(c.x, 1), g = random(c.op.output_shape(c.x), 2);
        const auto area = static_cast<double>(c.op.kernel * c.op.kernel);
        EXPECT_TRUE(
            close(device().avg_pool2d(x, c.op).to_nchw(), reference::avg_pool2d(Array(x), c.op), reduction, area));
        EXPECT_TRUE(close(device().avg_pool2d_grad(g, c.x, c.op).to_nchw(),
                          reference::avg_pool2d_grad(Array(g), c.x, c.op), reduction, area));
    }
}

TEST_P(DevicePoolTest, RefusesWindowsThatDoNotFit) {
    const Tensor x = random({1, 4, 3, 5}, 1);
    EXPECT_THAT(error_of([&] { device().avg_pool2d(x, {4, 2, 0}); }), testing::HasSubstr("window 4 is larger than"));
    EXPECT_THAT(error_of([&] { device().avg_pool2d(x, {2, 2, 2}); }), testing::HasSubstr("0 <= pad <= kernel / 2"));
    EXPECT_THAT(error_of([&] {
                    device().avg_pool2d_grad(x, {1, 4, 3, 5}, {2, 2, 0});
                }),
                testing::HasSubstr("grad_y must be [1, 4, 1, 2], got [1, 4, 3, 5]"));
}

// A part's channels after another's, and each part's gradient out of the whole.
TEST_P(DevicePoolTest, ConcatenatesChannels) {
    for (const std::vector<int64_t>& widths : {std::vector<int64_t>{8, 16, 32}, {3, 1, 5}, {4}, {4, 0, 8}, {33, 16}}) {
        std::vector<Tensor> parts;
        int64_t channels = 0;
        for (const int64_t width : widths) {
            parts.push_back(random({2, width, 5, 3}, 1 + parts.size()));
            channels += width;
        }
        const Tensor y = device().concat_channels(parts);
        ASSERT_EQ(y.shape(), (Shape{2, channels, 5, 3}));
        const Array whole(y);
        int64_t begin = 0;
        for (const Tensor& part : parts) {
            const Array values(part);
            const int64_t end = begin + part.dim(1);
            for (int64_t i = 0; i < part.numel(); ++i)
                ASSERT_EQ(whole.at(i / 15 / part.dim(1), begin + i / 15 % part.dim(1), i / 3 % 5, i % 3),
                          values.values[static_cast<std::size_t>(i)]);
            EXPECT_TRUE(identical(device().slice_channels(y, begin, end).cpu(), part.cpu()));
            begin = end;
        }
    }
    const std::vector<Tensor> unlike{random({2, 4, 5, 3}, 1), random({2, 4, 5, 4}, 2)};
    EXPECT_THAT(error_of([&] { device().concat_channels(unlike); }),
                testing::HasSubstr("parts must differ in their channels only, got [2, 4, 5, 3] and [2, 4, 5, 4]"));
    EXPECT_THAT(error_of([&] { device().concat_channels({}); }), testing::HasSubstr("nothing to concatenate"));
    EXPECT_THAT(error_of([&] { device().slice_channels(unlike[0], 2, 5); }),
                testing::HasSubstr("[2, 5) are not channels of x [2, 4, 5, 3]"));
}

TEST_P(DevicePoolTest, GlobalAverageAndItsGradient) {
    for (const Shape& shape : average_shapes) {
        const Tensor x = random(shape, 1), g = random({shape[0], shape[1]}, 2);
        EXPECT_TRUE(close(device().global_avg_pool(x).to_nchw(), reference::global_avg_pool(Array(x)), reduction,
                          static_cast<double>(shape[2] * shape[3])));
        EXPECT_TRUE(
            close(device().global_avg_pool_grad(g, shape).to_nchw(), average_gradient(Array(g), shape), elementwise));
    }
}

TEST_P(DevicePoolTest, AnImageDoesNotDependOnItsBatch) {
    for (const int64_t channels : {3, 8}) {
        const Tensor x = random({4, channels, 5, 5}, 1), average = device().global_avg_pool(x).cpu();
        Tensor argmax, own;
        const Tensor y = device().max_pool2d(x, {3, 2, 1}, argmax).cpu();
        for (int64_t n = 0; n < 4; ++n) {
            EXPECT_TRUE(identical(device().global_avg_pool(x.rows(n, n + 1)).cpu(), average.rows(n, n + 1)));
            EXPECT_TRUE(identical(device().max_pool2d(x.rows(n, n + 1), {3, 2, 1}, own).cpu(), y.rows(n, n + 1)));
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Device, DevicePoolTest, all_devices(), device_name);

class DevicePoolBf16Test : public DeviceTest {
protected:
    Tensor half(const Tensor& x) { return device().cast(x, DType::bfloat16); }
    Tensor full(const Tensor& x) { return device().cast(x, DType::float32).cpu(); }

    // What is stored in bfloat16 has been rounded once, by up to 2^-8 of itself.
    const Tolerance rounded{0x1p-8 / static_cast<double>(std::numeric_limits<float>::epsilon()), elementwise.atol};
};

TEST_P(DevicePoolBf16Test, MaximumWinnersAndGradient) {
    for (const Case& c : cases) {
        SCOPED_TRACE(describe(c));
        const Tensor x = half(random(c.x, 1)), g = half(random(c.op.output_shape(c.x), 2));
        Tensor argmax;
        const Tensor y = device().max_pool2d(x, c.op, argmax);
        const Tensor grad_x = device().max_pool2d_grad(g, argmax, c.x, c.op);
        ASSERT_EQ(y.dtype(), DType::bfloat16);
        ASSERT_EQ(grad_x.dtype(), DType::bfloat16);
        std::vector<int64_t> winners;
        EXPECT_TRUE(close(full(y).to_nchw(), reference::max_pool2d(Array(full(x)), c.op, winners), exact));
        expect_winners(argmax, winners, y.shape(), c.x);
        EXPECT_TRUE(close(full(grad_x).to_nchw(), gradient(Array(full(g)), winners, c.x), rounded));
    }
}

TEST_P(DevicePoolBf16Test, AverageAndItsGradient) {
    for (const Case& c : cases) {
        SCOPED_TRACE(describe(c));
        const Tensor x = half(random(c.x, 1)), g = half(random(c.op.output_shape(c.x), 2));
        const Tensor y = device().avg_pool2d(x, c.op), grad_x = device().avg_pool2d_grad(g, c.x, c.op);
        ASSERT_EQ(y.dtype(), DType::bfloat16);
        EXPECT_TRUE(close(full(y).to_nchw(), reference::avg_pool2d(Array(full(x)), c.op), rounded));
        EXPECT_TRUE(close(full(grad_x).to_nchw(), reference::avg_pool2d_grad(Array(full(g)), c.x, c.op), rounded));
        const Tensor both = device().concat_channels(std::vector<Tensor>{x, x});
        EXPECT_TRUE(identical(full(device().slice_channels(both, c.x[1], 2 * c.x[1])), full(x)));
    }
}

TEST_P(DevicePoolBf16Test, TheGlobalAverageIsFloat32AndItsGradientIsNot) {
    for (const Shape& shape : average_shapes) {
        const Tensor x = half(random(shape, 1)), g = random({shape[0], shape[1]}, 2);
        const Tensor y = device().global_avg_pool(x);
        const Tensor grad_x = device().global_avg_pool_grad(g, shape, DType::bfloat16);
        ASSERT_EQ(y.dtype(), DType::float32);
        ASSERT_EQ(grad_x.dtype(), DType::bfloat16);
        EXPECT_TRUE(close(y.to_nchw(), reference::global_avg_pool(Array(full(x))), reduction,
                          static_cast<double>(shape[2] * shape[3])));
        EXPECT_TRUE(close(full(grad_x).to_nchw(), average_gradient(Array(g), shape), rounded));
    }
}

INSTANTIATE_TEST_SUITE_P(Device, DevicePoolBf16Test, gpu_devices(), device_name);

}  // namespace
}  // namespace lethe::test
