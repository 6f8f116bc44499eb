// What the operations do not reach of the own matrix products and convolutions: the order of words on tensor cores, the
// fused gradient for the input, how sums are divided, and what is refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "cuda/conv2d_narrow.h"
#include "cuda/conv2d_own.h"
#include "cuda/emulation/order.h"
#include "cuda/gemm.h"
#include "cuda/launch.h"
#include "cuda/mma.cuh"
#include "tests/support/compare.h"
#include "tests/support/reference.h"

namespace lethe::test {
namespace {

using namespace lethe::emulated;
using reference::Array;
using testing::HasSubstr;

// Every lane brings the words that cuda/mma.cuh says it holds, of A [down * 16, 8 words] and B [8 words, across * 8].
template <class Number, int down, int across>
__global__ void mma_kernel(const float* a, const float* b, float* d) {
    constexpr int depth = 8 * Number::per_word, columns = across * 8;
    const int g = lane() / 4, t = lane() % 4;
    const int row_of[] = {g, g + 8, g, g + 8}, word_of[] = {t, t, t + 4, t + 4};
    std::uint32_t a_words[down][4], b_words[across][2];
    float sums[down * across * 4] = {};
    for (int i = 0; i < down; ++i)
        for (int e = 0; e < 4; ++e)
            a_words[i][e] = Number::word(a + (16 * i + row_of[e]) * depth + word_of[e] * Number::per_word);
    for (int j = 0; j < across; ++j)
        for (int e = 0; e < 2; ++e) {
            float pair[2];
            for (int k = 0; k < Number::per_word; ++k)
                pair[k] = b[((t + 4 * e) * Number::per_word + k) * columns + 8 * j + g];
            b_words[j][e] = Number::word(pair);
        }
    warp_mma<Number, down, across>(a_words, b_words, sums);
    for (int i = 0; i < down; ++i)
        for (int j = 0; j < across; ++j)
            for (int e = 0; e < 4; ++e)
                d[(16 * i + g + 8 * (e / 2)) * columns + 8 * j + 2 * t + e % 2] = sums[(i * across + j) * 4 + e];
}

// Small whole numbers: exact in every format, so the product must be exact.
template <class Number, int down, int across>
void check_mma() {
    constexpr int rows = down * 16, columns = across * 8, depth = 8 * Number::per_word;
    std::vector<float> a(rows * depth), b(depth * columns), d(rows * columns), expected(d.size());
    for (std::size_t i = 0; i < a.size(); ++i) a[i] = static_cast<float>(i * 7 % 23) - 11.0f;
    for (std::size_t i = 0; i < b.size(); ++i) b[i] = static_cast<float>(i * 5 % 19) - 9.0f;
    for (int row = 0; row < rows; ++row)
        for (int column = 0; column < columns; ++column)
            for (int k = 0; k < depth; ++k)
                expected[static_cast<std::size_t>(row * columns + column)] +=
                    a[static_cast<std::size_t>(row * depth + k)] * b[static_cast<std::size_t>(k * columns + column)];
    launch<mma_kernel<Number, down, across>>(1, 32, 0, nullptr, a.data(), b.data(), d.data());
    EXPECT_EQ(d, expected);
}

class EmulatedProduct : public testing::TestWithParam<int> {
protected:
    EmulatedProduct() { emulation::set_seed(static_cast<std::uint64_t>(GetParam())); }
};

TEST_P(EmulatedProduct, LanesHoldTheWordsOfTheirFragments) {
    check_mma<Tf32, 1, 1>();
    check_mma<Tf32, 2, 4>();
    check_mma<Bf16Pair, 1, 1>();
    check_mma<Bf16Pair, 2, 2>();
}

TEST(Tf32, IsRoundedToTheNearest) {
    const auto rounded = [](float value) { return Tf32::value(Tf32::word(&value), 0); };
    EXPECT_EQ(rounded(1.0f), 1.0f);
    EXPECT_EQ(rounded(1.0f + 0x1p-10f), 1.0f + 0x1p-10f);
    EXPECT_EQ(rounded(1.0f + 0x1.8p-12f), 1.0f);
    EXPECT_EQ(rounded(1.0f + 0x1p-11f), 1.0f + 0x1p-10f);  // a tie goes away from zero
    EXPECT_EQ(rounded(-1.0f - 0x1p-11f), -1.0f - 0x1p-10f);
    EXPECT_EQ(rounded(std::numeric_limits<float>::infinity()), std::numeric_limits<float>::infinity());
    EXPECT_TRUE(std::isnan(rounded(std::bit_cast<float>(0x7fffffffu))));  // the NaN that a GPU makes
}

// A sum of no products is the bias.
TEST_P(EmulatedProduct, DepthZero) {
    const std::vector<float> bias{1, 2, 3};
    std::vector<float> c(6);
    sgemm(Factors::nn, 2, 3, 0, nullptr, nullptr, bias.data(), c.data(), nullptr);
    EXPECT_THAT(c, testing::ElementsAre(1, 2, 3, 1, 2, 3));
}

TEST(Sgemm, RefusesSizesItCannotCount) {
    EXPECT_THAT(
        error_of([] { sgemm(Factors::nn, 1, 1, int64_t{1} << 31, nullptr, nullptr, nullptr, nullptr, nullptr); }),
        HasSubstr("sgemm: a size of 2147483648"));
}

struct Problem {
    Problem(const Shape& images, const Shape& weights, Conv2d conv)
        : op(conv),
          x(random_tensor(images, 1)),
          w(random_tensor(weights, 2, 0.05f)),
          grad_y(random_tensor(op.output_shape(images, weights), 3, 0.1f)),
          g(own_conv2d_geometry(images, weights, op)) {}

    Conv2d op;
    Tensor x, w, grad_y;
    ConvGeometry g;
};

Tensor grad_x(const Problem& p, const Tensor& grad_y, const Tensor& added, const Tensor& mask) {
    ConvGeometry g = p.g;
    g.images = static_cast<int>(grad_y.dim(0));
    Tensor result = Tensor::empty(p.x.shape().with_rows(grad_y.dim(0)));
    own_conv2d_grad_x<float>(g, Precision::strict, grad_y.data(), p.w.data(), added.defined() ? added.data() : nullptr,
                             mask.defined() ? mask.data() : nullptr, result.mutable_data(), nullptr);
    return result;
}

TEST_P(EmulatedProduct, GradientForTheInputAddsAndMasks) {
    for (const int64_t channels : {5, 16, 40}) {
        const Problem p({2, channels, 7, 5}, {16, channels, 3, 3}, {2, 1});
        const Tensor added = random_tensor(p.x.shape(), 4), mask = random_tensor(p.x.shape(), 5);
        const Array sums = reference::conv2d_grad_x(Array(p.grad_y), Array(p.w), p.x.shape(), p.op);
        const Array skip(added), y(mask);
        Array with_skip = sums, with_mask = sums, with_both = sums;
        for (std::size_t i = 0; i < sums.values.size(); ++i) {
            const bool passes = y.values[i] > 0;
            with_skip.values[i] += skip.values[i];
            with_mask.values[i] = passes ? sums.values[i] : 0.0;
            with_both.values[i] = passes ? with_skip.values[i] : 0.0;
        }
        const double k = 16 * 9 + 1;
        EXPECT_TRUE(close(grad_x(p, p.grad_y, added, Tensor()).to_nchw(), with_skip, reduction, k));
        EXPECT_TRUE(close(grad_x(p, p.grad_y, Tensor(), mask).to_nchw(), with_mask, reduction, k));
        EXPECT_TRUE(close(grad_x(p, p.grad_y, added, mask).to_nchw(), with_both, reduction, k));
    }
}

// Who asks for something else gets false, and nothing is written.
TEST(NarrowConv2d, TakesWhatItIsFor) {
    const auto takes = [](const Shape& x, const Shape& w, const Conv2d& op, Precision precision, int64_t offset = 0) {
        const Shape shape_of_y = op.output_shape(x, w);
        const Tensor images = random_tensor({x.numel() + offset}, 1), weights = random_tensor(w, 2);
        Tensor y = Tensor::empty({shape_of_y.numel()}), grad_x = Tensor::empty({x.numel()});
        y.fill(-1.0f);
        grad_x.fill(-1.0f);
        const bool forward = narrow_conv2d<float>(x, w, op, precision, images.data() + offset, weights.data(), nullptr,
                                                  nullptr, true, y.mutable_data(), nullptr);
        const Tensor gradients = random_tensor({shape_of_y.numel() + offset}, 3);
        const bool backward =
            narrow_conv2d_grad_x<float>(x, w, op, precision, gradients.data() + offset, weights.data(), nullptr,
                                        nullptr, grad_x.mutable_data(), nullptr);
        const auto written = [](const Tensor& result) {
            return std::count(result.data(), result.data() + result.numel(), -1.0f) == 0;
        };
        EXPECT_EQ(forward, backward);
        EXPECT_EQ(written(y), forward);
        EXPECT_EQ(written(grad_x), backward);
        return forward;
    };
    const Shape x{2, 16, 5, 6}, w{16, 16, 3, 3};
    const Conv2d same{1, 1};
    EXPECT_TRUE(takes(x, w, same, Precision::tf32));
    EXPECT_TRUE(takes(x, w, same, Precision::bf16));  // what is stored in float32 is multiplied as TF32
    EXPECT_FALSE(takes({2, 32, 5, 6}, {32, 32, 3, 3}, same, Precision::tf32));  // cuDNN is faster
    EXPECT_FALSE(takes(x, w, same, Precision::strict));
    EXPECT_FALSE(takes(x, w, same, Precision::tf32, 1));  // not aligned
    EXPECT_FALSE(takes(x, w, {2, 1}, Precision::tf32));
    EXPECT_FALSE(takes(x, w, {1, 0}, Precision::tf32));
    EXPECT_FALSE(takes(x, {16, 8, 3, 3}, {1, 1, 2}, Precision::tf32));
    EXPECT_FALSE(takes(x, {16, 16, 1, 1}, {1, 0}, Precision::tf32));
    EXPECT_FALSE(takes(x, {16, 16, 5, 5}, same, Precision::tf32));
    EXPECT_FALSE(takes(x, {48, 16, 3, 3}, same, Precision::tf32));
    EXPECT_FALSE(takes({2, 8, 5, 6}, {16, 8, 3, 3}, same, Precision::tf32));
}

TEST_P(EmulatedProduct, AnImageDoesNotDependOnItsBatch) {
    for (const int64_t channels : {3, 16, 40}) {
        const Problem p({5, channels, 6, 6}, {20, channels, 3, 3}, {1, 1});
        const Tensor all = grad_x(p, p.grad_y, Tensor(), Tensor());
        const auto forward = [&](int64_t first, int64_t last) {
            ConvGeometry g = p.g;
            g.images = static_cast<int>(last - first);
            Tensor y = Tensor::empty(p.grad_y.shape().with_rows(last - first));
            own_conv2d<float>(g, Precision::strict, p.x.rows(first, last).data(), p.w.data(), nullptr, nullptr, false,
                              y.mutable_data(), nullptr);
            return y;
        };
        const Tensor y = forward(0, 5);
        for (int64_t n = 0; n < 5; ++n) {
            EXPECT_TRUE(identical(forward(n, n + 1), y.rows(n, n + 1)));
            EXPECT_TRUE(identical(grad_x(p, p.grad_y.rows(n, n + 1), Tensor(), Tensor()), all.rows(n, n + 1)));
        }
    }
}

// One chunk that is written directly, one image per chunk, and chunks of several images of which the last has fewer.
TEST_P(EmulatedProduct, GradientsForTheWeightsInAnyNumberOfChunks) {
    for (const auto& [images, channels, filters] : {std::array{1, 8, 4}, {7, 8, 4}, {1000, 4, 8}}) {
        SCOPED_TRACE(images);
        const Problem p({images, channels, 2, 1}, {filters, channels, 1, 1}, {});
        std::vector<float> sums(static_cast<std::size_t>(own_conv2d_grad_w_workspace(p.g)));
        std::vector<float> magnitudes(static_cast<std::size_t>(own_conv2d_grad_w_abs_workspace(p.g)));
        EXPECT_EQ(magnitudes.empty(), images == 1);
        EXPECT_LT(magnitudes.size(), static_cast<std::size_t>(std::min(images, 300) * p.w.numel() + 1));
        Tensor actual = Tensor::empty(p.w.shape());
        own_conv2d_grad_w<float>(p.g, Precision::strict, p.grad_y.data(), p.x.data(), sums.data(),
                                 actual.mutable_data(), nullptr);
        EXPECT_TRUE(close(actual.to_nchw(), reference::conv2d_grad_w(Array(p.grad_y), Array(p.x), p.w.shape(), p.op),
                          reduction, 2.0 * images));
        own_conv2d_grad_w_abs<float>(p.g, Precision::strict, p.grad_y.data(), p.x.data(), magnitudes.data(),
                                     actual.mutable_data(), nullptr);
        Array expected(p.w.shape());
        for (int64_t n = 0; n < images; ++n) {
            const Array one =
                reference::conv2d_grad_w(Array(p.grad_y.rows(n, n + 1)), Array(p.x.rows(n, n + 1)), p.w.shape(), p.op);
            for (std::size_t i = 0; i < one.values.size(); ++i) expected.values[i] += std::abs(one.values[i]);
        }
        EXPECT_TRUE(close(actual.to_nchw(), expected, reduction, 2.0 * images));
    }
}

TEST(OwnConv2d, RefusesShapesItCannotCount) {
    EXPECT_THAT(error_of([] {
                    own_conv2d_geometry({1 << 20, 1, 64, 64}, {1, 1, 1, 1}, {});
                }),
                HasSubstr("conv2d: a size of 4294967296"));
}

INSTANTIATE_TEST_SUITE_P(Seed, EmulatedProduct, testing::Values(1, 2));

}  // namespace
}  // namespace lethe::test
