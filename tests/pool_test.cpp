#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/support/cpu.h"
#include "tests/support/reference.h"

namespace lethe::test {
namespace {

using reference::Array;

struct Case {
    Shape x;
    Pool2d op;
};
const std::vector<Case> cases = {
    {{2, 16, 8, 8}, {2, 2, 0}}, {{3, 5, 9, 7}, {3, 2, 1}},  {{1, 64, 16, 16}, {3, 2, 1}}, {{17, 3, 4, 4}, {2, 2, 0}},
    {{1, 1, 1, 1}, {1, 1, 0}},  {{2, 7, 5, 11}, {3, 1, 1}}, {{1, 4, 7, 7}, {4, 3, 2}},
};

// Offset in channels-last storage of the element at a flattened NCHW offset.
int64_t storage_offset(int64_t logical, const Shape& shape) {
    const int64_t area = shape[2] * shape[3], pixel = logical % area, channel = logical / area % shape[1];
    return (logical / (area * shape[1]) * area + pixel) * shape[1] + channel;
}

class PoolTest : public IsaTest {};

TEST_P(PoolTest, MaximumWinnersAndGradient) {
    for (const Case& c : cases) {
        SCOPED_TRACE(concat(c.x, ", kernel ", c.op.kernel, ", stride ", c.op.stride, ", pad ", c.op.pad));
        const Tensor x = random_tensor(c.x, 1), g = random_tensor(c.op.output_shape(c.x), 2);
        const auto results = same_for_any_threads([&] {
            Tensor argmax;
            const Tensor y = cpu->max_pool2d(x, c.op, argmax);
            return std::vector{y, argmax, cpu->max_pool2d_grad(g, argmax, x.shape(), c.op)};
        });
        std::vector<int64_t> winners;
        const Array y = reference::max_pool2d(Array(x), c.op, winners), gs(g);
        EXPECT_TRUE(close(results[0].to_nchw(), y, exact));
        Array grad_x(c.x);
        for (std::size_t i = 0; i < winners.size(); ++i) {
            grad_x.values[static_cast<std::size_t>(winners[i])] += gs.values[i];
            const int64_t at = storage_offset(static_cast<int64_t>(i), g.shape());
            ASSERT_EQ(results[1].int64_data()[at], storage_offset(winners[i], c.x));
        }
        EXPECT_TRUE(close(results[2].to_nchw(), grad_x, reduction, static_cast<double>(c.op.kernel * c.op.kernel)));
    }
}

TEST_P(PoolTest, TheFirstOfEqualMaximaWinsAndNanIsNotLost) {
    Tensor argmax, x = Tensor::full({1, 1, 2, 2}, 5.0f);
    cpu->max_pool2d(x, {2, 2, 0}, argmax);
    EXPECT_EQ(argmax.int64_data()[0], 0);
    x.mutable_data()[2] = std::numeric_limits<float>::quiet_NaN();
    EXPECT_TRUE(std::isnan(cpu->max_pool2d(x, {2, 2, 0}, argmax).data()[0]));
    EXPECT_EQ(argmax.int64_data()[0], 2);
}

TEST_P(PoolTest, TheFirstNanWinsInEveryLane) {
    for (const int64_t channels : {1, 16, 37}) {
        Tensor argmax, x = Tensor::full({1, channels, 2, 2}, 5.0f);
        for (int64_t c = 0; c < channels; ++c) {
            x.mutable_data()[channels + c] = std::numeric_limits<float>::quiet_NaN();
            x.mutable_data()[2 * channels + c] = std::numeric_limits<float>::quiet_NaN();
            x.mutable_data()[3 * channels + c] = 9.0f;
        }
        const Tensor y = cpu->max_pool2d(x, {2, 2, 0}, argmax);
        for (int64_t c = 0; c < channels; ++c) {
            EXPECT_TRUE(std::isnan(y.data()[c])) << c;
            EXPECT_EQ(argmax.int64_data()[c], channels + c) << c;
        }
    }
}

TEST_P(PoolTest, NegativeImagesKeepTheirMaximumAtPaddedEdges) {
    Tensor argmax;
    const Tensor x = Tensor::full({1, 3, 4, 4}, -2.0f), y = cpu->max_pool2d(x, {3, 2, 1}, argmax);
    for (const float value : y.values()) EXPECT_EQ(value, -2.0f);
}

TEST_P(PoolTest, GlobalAverageAndItsGradient) {
    for (const Shape& shape : {Shape{3, 64, 8, 8}, Shape{2, 5, 3, 7}, Shape{1, 1, 1, 1}, Shape{17, 100, 2, 2}}) {
        const Tensor x = random_tensor(shape, 1), g = random_tensor({shape[0], shape[1]}, 2);
        const auto results = same_for_any_threads([&] {
            return std::vector{cpu->global_avg_pool(x), cpu->global_avg_pool_grad(g, shape)};
        });
        const int64_t area = shape[2] * shape[3];
        EXPECT_TRUE(
            close(results[0].to_nchw(), reference::global_avg_pool(Array(x)), reduction, static_cast<double>(area)));
        Array expected(shape);
        for (int64_t i = 0; i < shape.numel(); ++i)
            expected.values[static_cast<std::size_t>(i)] =
                static_cast<double>(g.data()[i / area]) / static_cast<double>(area);
        EXPECT_TRUE(close(results[1].to_nchw(), expected, elementwise));
    }
}

// Option A: every stride-th pixel, zeros around the channels.
TEST_P(PoolTest, ShortcutTakesPixelsAndPadsChannels) {
    struct Shortcut {
        Shape x;
        int64_t channels, stride;
    };
    for (const auto& [shape, channels, stride] :
         {Shortcut{{2, 16, 8, 8}, 32, 2}, Shortcut{{17, 3, 7, 5}, 7, 2}, Shortcut{{1, 4, 3, 3}, 4, 1}}) {
        const int64_t rows = (shape[2] + stride - 1) / stride, columns = (shape[3] + stride - 1) / stride;
        const Tensor x = random_tensor(shape, 1), g = random_tensor({shape[0], channels, rows, columns}, 2);
        const auto results = same_for_any_threads([&] {
            return std::vector{cpu->shortcut_a(x, channels, stride), cpu->shortcut_a_grad(g, shape, stride)};
        });
        Array y(g.shape()), grad_x(shape);
        const Array xs(x), gs(g);
        const int64_t before = (channels - shape[1]) / 2;
        for (int64_t n = 0; n < shape[0]; ++n)
            for (int64_t c = 0; c < shape[1]; ++c)
                for (int64_t h = 0; h < shape[2]; h += stride)
                    for (int64_t w = 0; w < shape[3]; w += stride) {
                        y.at(n, c + before, h / stride, w / stride) = xs.at(n, c, h, w);
                        grad_x.at(n, c, h, w) = gs.at(n, c + before, h / stride, w / stride);
                    }
        EXPECT_TRUE(close(results[0].to_nchw(), y, exact));
        EXPECT_TRUE(close(results[1].to_nchw(), grad_x, exact));
    }
}

TEST_P(PoolTest, NormalizeAndItsGradient) {
    for (const Shape& shape : {Shape{3, 3, 32, 32}, Shape{2, 1, 5, 5}, Shape{2, 5, 3, 1}, Shape{40, 3, 30, 30}}) {
        const Tensor x = random_tensor(shape, 1), mean = random_tensor({shape[1]}, 2),
                     std = Tensor::full({shape[1]}, 0.23f);
        const auto results = same_for_any_threads([&] {
            return std::vector{cpu->normalize(x, mean, std), cpu->normalize_grad(x, std)};
        });
        Array y(x), grad(x);
        const int64_t area = shape[2] * shape[3];
        for (int64_t i = 0; i < shape.numel(); ++i) {
            const auto at = static_cast<std::size_t>(i);
            y.values[at] =
                (y.values[at] - static_cast<double>(mean.data()[i / area % shape[1]])) / static_cast<double>(0.23f);
            grad.values[at] /= static_cast<double>(0.23f);
        }
        EXPECT_TRUE(close(results[0].to_nchw(), y, elementwise));
        EXPECT_TRUE(close(results[1].to_nchw(), grad, elementwise));
    }
}

TEST_P(PoolTest, WarmCallsTakeNoMemory) {
    const Tensor x = random_tensor({20, 16, 8, 8}, 1);
    expect_steady([&] {
        Tensor argmax;
        const Pool2d op{2, 2, 0};
        const Tensor y = cpu->max_pool2d(x, op, argmax);
        cpu->max_pool2d_grad(y, argmax, x.shape(), op);
        cpu->global_avg_pool(x);
        cpu->shortcut_a(x, 32, 2);
    });
}

INSTANTIATE_TEST_SUITE_P(Isa, PoolTest, all_isas(), isa_name);

}  // namespace
}  // namespace lethe::test
