#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <thread>

#include "tests/support/cpu.h"
#include "tests/support/reference.h"

namespace lethe::test {
namespace {

struct Case {
    int64_t images, channels, height, width, filters, kernel, stride, pad, groups = 1;
};

// Every shape of a CIFAR ResNet, of the ImageNet stem and of 1x1 shortcuts, and odd ones: sizes that no vector width
// divides, one pixel, one channel, kernels larger than the image.
const std::vector<Case> cases = {
    {3, 3, 32, 32, 16, 3, 1, 1},
    {17, 16, 8, 8, 16, 3, 1, 1},
    {1, 16, 32, 32, 16, 3, 1, 1},
    {1, 16, 32, 32, 32, 3, 2, 1},
    {1, 32, 16, 16, 32, 3, 1, 1},
    {1, 64, 8, 8, 64, 3, 1, 1},
    {3, 16, 9, 9, 32, 1, 2, 0},
    {2, 3, 33, 31, 16, 7, 2, 3},
    {2, 5, 7, 9, 6, 3, 1, 1},
    {1, 1, 1, 1, 1, 1, 1, 0},
    {2, 1, 2, 2, 3, 3, 1, 1},
    {3, 16, 7, 5, 48, 3, 1, 1},
    {2, 48, 5, 11, 16, 3, 1, 1},
    {1, 16, 1, 1, 16, 3, 1, 1},
    {2, 16, 3, 20, 16, 3, 1, 1},
    {2, 32, 7, 7, 16, 3, 2, 1},
    {2, 16, 2, 2, 32, 3, 2, 1},
    {2, 17, 6, 6, 16, 3, 1, 1},
    {2, 16, 6, 6, 17, 3, 1, 1},
    {1, 128, 4, 4, 128, 3, 1, 1},
    {2, 16, 5, 5, 16, 1, 1, 0},
    {1, 8, 5, 4, 4, 5, 1, 2},
    {2, 3, 6, 40, 32, 3, 1, 1},
    {2, 1, 6, 9, 16, 3, 1, 1},
    {1, 2, 5, 4, 32, 3, 1, 1},
    {1, 4, 4, 7, 16, 3, 1, 1},
    {1, 16, 32, 32, 16, 3, 2, 1},
    {2, 4, 6, 6, 3, 3, 1, 1},
    // Many channels: Winograd and matrices of patches, with odd sizes, a last panel of 16 columns, more rows than one
    // block holds, and images smaller than a tile.
    {17, 64, 2, 2, 64, 3, 1, 1},
    {14, 64, 1, 31, 64, 3, 1, 1},
    {3, 64, 7, 5, 80, 3, 1, 1},
    {2, 80, 2, 3, 64, 3, 1, 1},
    {3, 64, 1, 1, 64, 3, 1, 1},
    {18, 64, 5, 9, 80, 3, 2, 1},
    {2, 80, 2, 2, 64, 3, 2, 1},
    {1, 64, 8, 8, 96, 3, 3, 1},
    {17, 64, 5, 7, 80, 1, 1, 0},
    {2, 80, 9, 6, 64, 1, 2, 0},
    {16, 64, 12, 12, 64, 1, 1, 0},
    // Depthwise, with one and with several filters per channel; grouped.
    {2, 32, 9, 8, 32, 3, 1, 1, 32},
    {17, 37, 7, 7, 37, 3, 2, 1, 37},
    {1, 16, 8, 9, 16, 5, 2, 2, 16},
    {2, 5, 1, 1, 5, 3, 1, 1, 5},
    {2, 18, 3, 4, 18, 3, 3, 0, 18},
    {2, 6, 7, 5, 12, 3, 1, 1, 6},
    {2, 32, 6, 6, 16, 3, 2, 1, 4},
    {2, 16, 9, 4, 16, 1, 2, 0, 16},
    {1, 20, 4, 4, 20, 3, 1, 2, 20},
};

std::string describe(const Case& c) {
    return concat(c.images, "x", c.channels, "x", c.height, "x", c.width, " to ", c.filters, ", kernel ", c.kernel,
                  ", stride ", c.stride, ", pad ", c.pad, ", groups ", c.groups);
}

// Sums of K products get factors of size 1 and 0.25/sqrt(K), so that results are below 1 and cancellation to nearly
// zero costs no more than the comparator's absolute tolerance.
float unit(int64_t k) { return 0.25f / std::sqrt(static_cast<float>(k)); }

struct Problem {
    explicit Problem(const Case& c)
        : op{c.stride, c.pad, c.groups},
          x(random_tensor({c.images, c.channels, c.height, c.width}, 1)),
          w(random_tensor({c.filters, c.channels / c.groups, c.kernel, c.kernel}, 2,
                          unit(std::max(c.channels, c.filters) * c.kernel * c.kernel))),
          bias(random_tensor({c.filters}, 3)),
          grad_y(random_tensor(op.output_shape(x.shape(), w.shape()), 4)),
          residual(random_tensor(grad_y.shape(), 5)) {}

    Conv2d op;
    Tensor x, w, bias, grad_y, residual;
};

class Conv2dTest : public IsaTest {};

TEST_P(Conv2dTest, ForwardAgreesWithTheOracle) {
    for (const Case& c : cases) {
        SCOPED_TRACE(describe(c));
        const Problem p(c);
        const auto results = same_for_any_threads([&] { return std::vector{cpu->conv2d(p.x, p.w, p.op)}; });
        const auto expected = reference::conv2d(reference::Array(p.x), reference::Array(p.w), p.op);
        EXPECT_TRUE(
            close(results[0].to_nchw(), expected, reduction, static_cast<double>(c.channels * c.kernel * c.kernel)));
    }
}

TEST_P(Conv2dTest, GradientsAgreeWithTheOracle) {
    for (const Case& c : cases) {
        SCOPED_TRACE(describe(c));
        const Problem p(c);
        const int64_t positions = c.images * p.grad_y.dim(2) * p.grad_y.dim(3);
        const Tensor small = cpu->scale(p.grad_y, unit(positions));
        const auto results = same_for_any_threads([&] {
            return std::vector{cpu->conv2d_grad_x(p.grad_y, p.w, p.x.shape(), p.op),
                               cpu->conv2d_grad_w(small, p.x, p.w.shape(), p.op)};
        });
        const reference::Array g(p.grad_y), gw(small), x(p.x), w(p.w);
        EXPECT_TRUE(close(results[0].to_nchw(), reference::conv2d_grad_x(g, w, p.x.shape(), p.op), reduction,
                          static_cast<double>(c.filters * c.kernel * c.kernel)));
        EXPECT_TRUE(close(results[1].to_nchw(), reference::conv2d_grad_w(gw, x, p.w.shape(), p.op), reduction,
                          static_cast<double>(positions)));
    }
}

// expected = relu?(sums + bias + residual?)
void apply_epilogue(reference::Array& sums, const Problem& p, bool with_residual, bool relu) {
    const reference::Array bias(p.bias), added(p.residual);
    const int64_t area = sums.shape[2] * sums.shape[3];
    for (std::size_t i = 0; i < sums.values.size(); ++i) {
        sums.values[i] += bias.at(static_cast<int64_t>(i) / area % sums.shape[1]);
        if (with_residual) sums.values[i] += added.values[i];
        if (relu) sums.values[i] = std::max(sums.values[i], 0.0);
    }
}

TEST_P(Conv2dTest, FusedEpilogueIsBiasThenResidualThenRelu) {
    for (const Case& c : cases) {
        SCOPED_TRACE(describe(c));
        const Problem p(c);
        const auto sums = reference::conv2d(reference::Array(p.x), reference::Array(p.w), p.op);
        for (const bool with_residual : {false, true})
            for (const bool relu : {false, true}) {
                const Tensor residual = with_residual ? p.residual : Tensor();
                const auto results = same_for_any_threads(
                    [&] { return std::vector{cpu->conv2d_fused(p.x, p.w, p.bias, residual, relu, p.op)}; });
                auto expected = sums;
                apply_epilogue(expected, p, with_residual, relu);
                EXPECT_TRUE(close(results[0].to_nchw(), expected, reduction,
                                  static_cast<double>(c.channels * c.kernel * c.kernel + 2)));
            }
    }
}

TEST_P(Conv2dTest, AnImageDoesNotDependOnItsBatch) {
    for (const Case& c : cases) {
        SCOPED_TRACE(describe(c));
        const Problem p(c);
        const Tensor y = cpu->conv2d_fused(p.x, p.w, p.bias, p.residual, true, p.op);
        const Tensor grad_x = cpu->conv2d_grad_x(p.grad_y, p.w, p.x.shape(), p.op);
        for (int64_t n = 0; n < c.images; ++n) {
            const Tensor image = p.x.rows(n, n + 1);
            EXPECT_TRUE(identical(y.rows(n, n + 1),
                                  cpu->conv2d_fused(image, p.w, p.bias, p.residual.rows(n, n + 1), true, p.op)));
            EXPECT_TRUE(identical(grad_x.rows(n, n + 1),
                                  cpu->conv2d_grad_x(p.grad_y.rows(n, n + 1), p.w, image.shape(), p.op)));
        }
    }
}

// Winograd's transforms divide by nothing but four, so with weights that are multiples of four every intermediate value
// is a small integer and the sums are exact, as those of the definition are.
TEST_P(Conv2dTest, SmallIntegersGiveExactSums) {
    const auto integers = [](const Shape& shape, uint64_t seed, float factor) {
        Tensor values = random_tensor(shape, seed, 2.0f);
        for (int64_t i = 0; i < values.numel(); ++i)
            values.mutable_data()[i] = factor * std::nearbyint(values.data()[i]);
        return values;
    };
    for (const Case& c : std::vector<Case>{{2, 64, 7, 6, 96, 3, 1, 1}, {2, 64, 7, 6, 96, 3, 2, 1}}) {
        SCOPED_TRACE(describe(c));
        const Conv2d op{c.stride, c.pad};
        const Tensor x = integers({c.images, c.channels, c.height, c.width}, 1, 1.0f);
        const Tensor w = integers({c.filters, c.channels, c.kernel, c.kernel}, 2, 4.0f);
        const Tensor y = cpu->conv2d(x, w, op), g = integers(y.shape(), 3, 1.0f);
        const reference::Array xs(x), ws(w), gs(g);
        EXPECT_TRUE(close(y.to_nchw(), reference::conv2d(xs, ws, op), exact));
        EXPECT_TRUE(close(cpu->conv2d_grad_x(g, w, x.shape(), op).to_nchw(),
                          reference::conv2d_grad_x(gs, ws, x.shape(), op), exact));
    }
}

TEST_P(Conv2dTest, BatchesThatAreNoMultipleOfAChunk) {
    const Conv2d op{1, 1};
    const Tensor w = random_tensor({16, 16, 3, 3}, 2);
    for (const int64_t images : {15, 16, 33, 49}) {
        const Tensor x = random_tensor({images, 16, 4, 4}, 1), g = random_tensor(x.shape(), 3, unit(images * 16));
        const auto results = same_for_any_threads([&] { return std::vector{cpu->conv2d_grad_w(g, x, w.shape(), op)}; });
        EXPECT_TRUE(close(results[0].to_nchw(),
                          reference::conv2d_grad_w(reference::Array(g), reference::Array(x), w.shape(), op), reduction,
                          static_cast<double>(images * 16)));
    }
}

// Large weights get fewer and larger partial sums.
TEST_P(Conv2dTest, GradientOfLargeWeights) {
    const Conv2d op{1, 0};
    for (const int64_t images : {3, 70}) {
        const Tensor x = random_tensor({images, 512, 1, 1}, 1), g = random_tensor(x.shape(), 3, unit(images));
        const Shape w{512, 512, 1, 1};
        const auto results = same_for_any_threads([&] { return std::vector{cpu->conv2d_grad_w(g, x, w, op)}; });
        EXPECT_TRUE(close(results[0].to_nchw(),
                          reference::conv2d_grad_w(reference::Array(g), reference::Array(x), w, op), reduction,
                          static_cast<double>(images)));
    }
}

TEST_P(Conv2dTest, SeesNewWeightsAndOnlyThose) {
    const Problem p({2, 16, 8, 8, 16, 3, 1, 1});
    Tensor w = p.w.clone();
    const Tensor before = cpu->conv2d(p.x, w, p.op), grad_before = cpu->conv2d_grad_x(p.grad_y, w, p.x.shape(), p.op);
    EXPECT_TRUE(identical(before, cpu->conv2d(p.x, p.w, p.op)));
    const Tensor other = random_tensor(w.shape(), 77);
    w.copy_from(other);
    EXPECT_TRUE(identical(cpu->conv2d(p.x, w, p.op), cpu->conv2d(p.x, other, p.op)));
    EXPECT_TRUE(identical(cpu->conv2d_grad_x(p.grad_y, w, p.x.shape(), p.op),
                          cpu->conv2d_grad_x(p.grad_y, other, p.x.shape(), p.op)));
    EXPECT_FALSE(identical(cpu->conv2d(p.x, w, p.op), before));
    EXPECT_FALSE(identical(cpu->conv2d_grad_x(p.grad_y, w, p.x.shape(), p.op), grad_before));
}

TEST_P(Conv2dTest, ViewsOfOneStorageAreDifferentWeights) {
    const Problem p({2, 16, 8, 8, 48, 3, 1, 1});
    const Tensor all = cpu->conv2d(p.x, p.w, p.op);
    for (const auto& [begin, end] : {std::pair{0, 16}, {16, 48}, {0, 32}}) {
        const Tensor part = cpu->conv2d(p.x, p.w.rows(begin, end), p.op);
        EXPECT_TRUE(identical(part, cpu->conv2d(p.x, p.w.rows(begin, end).clone(), p.op)));
        EXPECT_EQ(part.dim(1), end - begin);
    }
    EXPECT_EQ(all.dim(1), 48);
}

TEST_P(Conv2dTest, WarmCallsTakeNoMemoryAndBuildNoPlans) {
    for (const Case& c : cases) {
        SCOPED_TRACE(describe(c));
        Problem p(c);
        expect_steady([&] {
            p.w.mutable_data()[0] += 0.5f;  // as an optimizer step: packed weights are made again
            cpu->conv2d(p.x, p.w, p.op);
            cpu->conv2d_fused(p.x, p.w, p.bias, p.residual, true, p.op);
            cpu->conv2d_grad_x(p.grad_y, p.w, p.x.shape(), p.op);
            cpu->conv2d_grad_w(p.grad_y, p.x, p.w.shape(), p.op);
        });
    }
}

TEST_P(Conv2dTest, ForgetsWeightsThatAreGone) {
    const Problem p({1, 16, 4, 4, 16, 3, 1, 1});
    const auto once = [&] { cpu->conv2d(p.x, p.w.clone(), p.op); };
    for (int i = 0; i < 4; ++i) once();
    const uint64_t live = CachingAllocator::cpu().stats().live_bytes;
    for (int i = 0; i < 100; ++i) once();
    EXPECT_EQ(CachingAllocator::cpu().stats().live_bytes, live);
}

TEST_P(Conv2dTest, SeveralThreadsMayShareOneBackend) {
    const Problem p({4, 16, 8, 8, 32, 3, 2, 1});
    const Tensor y = cpu->conv2d(p.x, p.w, p.op), g = cpu->conv2d_grad_x(p.grad_y, p.w, p.x.shape(), p.op);
    std::vector<std::thread> users;
    for (int i = 0; i < 4; ++i)
        users.emplace_back([&] {
            for (int k = 0; k < 20; ++k) {
                EXPECT_TRUE(identical(cpu->conv2d(p.x, p.w, p.op), y));
                EXPECT_TRUE(identical(cpu->conv2d_grad_x(p.grad_y, p.w, p.x.shape(), p.op), g));
            }
        });
    for (std::thread& user : users) user.join();
}

TEST_P(Conv2dTest, NanPassesThroughRelu) {
    for (const Case& c :
         std::vector<Case>{{1, 16, 4, 4, 16, 3, 1, 1}, {1, 64, 4, 4, 64, 3, 1, 1}, {1, 64, 4, 4, 64, 1, 1, 0}}) {
        Problem p(c);
        p.x.fill(std::numeric_limits<float>::quiet_NaN());
        const Tensor y = cpu->conv2d_fused(p.x, p.w, p.bias, Tensor(), true, p.op);
        for (const float value : y.values()) EXPECT_TRUE(std::isnan(value));
    }
}

TEST_P(Conv2dTest, RefusesShapesThatDoNotFit) {
    const Tensor x = random_tensor({1, 3, 4, 4}, 1), w = random_tensor({2, 4, 3, 3}, 2);
    EXPECT_THAT(error_of([&] { cpu->conv2d(x, w, Conv2d{}); }), testing::HasSubstr("[2, 4, 3, 3]"));
    const auto grouped = [&](int64_t groups) { return error_of([&] { cpu->conv2d(x, w, {.groups = groups}); }); };
    EXPECT_THAT(grouped(3), testing::HasSubstr("3 groups do not divide the 2 filters"));
    EXPECT_THAT(grouped(2), testing::HasSubstr("expects 8 input channels in 2 groups, x [1, 3, 4, 4] has 3"));
}

INSTANTIATE_TEST_SUITE_P(Isa, Conv2dTest, all_isas(), isa_name);

TEST(Isa, AnUnknownOneIsRefused) {
    EXPECT_THAT(error_of([] { cpu_backend("sse9"); }), testing::HasSubstr("LETHE_ISA=sse9 is not an instruction set"));
    EXPECT_THAT(cpu_backend("baseline")->description(), testing::HasSubstr("baseline"));
}

}  // namespace
}  // namespace lethe::test
