// The tape itself; each operation's gradient is checked in gradcheck_test.cpp.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "autograd/ops.h"
#include "tests/support/compare.h"

namespace lethe::test {
namespace {

Var scalar(float value, bool requires_grad = true) { return {Tensor::full({1}, value), requires_grad}; }

TEST(Autograd, AddsTheGradientsOfEveryUse) {
    Var x = scalar(3);
    Var y = add(mul(x, x), x);  // d/dx (x^2 + x) = 2x + 1
    y.backward();
    EXPECT_EQ(x.grad().item(), 7.0f);
}

TEST(Autograd, AGradientSharedByTwoInputsIsNotWrittenThroughOneOfThem) {
    Var a = scalar(2), b = scalar(5);
    // add() may hand the same memory to a and b; a then receives a second gradient that b must not see
    Var y = add(add(a, b), scale(a, 10));
    y.backward();
    EXPECT_EQ(a.grad().item(), 11.0f);
    EXPECT_EQ(b.grad().item(), 1.0f);
}

TEST(Autograd, LeavesAccumulateUntilZeroGrad) {
    Var x = scalar(1);
    for (int i = 0; i < 3; ++i) scale(x, 2).backward();
    EXPECT_EQ(x.grad().item(), 6.0f);
    x.zero_grad();
    EXPECT_FALSE(x.grad().defined());
}

// Two samples with gradients (1, -2) and (-3, -1) for w, 1 and -1 for b.
TEST(Autograd, PerSampleMagnitudesDoNotCancel) {
    const Tensor x = Tensor::from_nchw({2, 2}, std::vector<float>{1, -2, 3, 1});
    const Tensor seed = Tensor::from_nchw({2, 1}, std::vector<float>{1, -1});
    Var w(Tensor::zeros({1, 2}), true), b(Tensor::zeros({1}), true);
    const PerSampleMagnitudes magnitudes;
    linear(x, w, b).backward(seed);
    EXPECT_THAT(w.grad().values(), testing::ElementsAre(4, 3));
    EXPECT_THAT(b.grad().values(), testing::ElementsAre(2));
}

// Two samples of two pixels each, with gradients (1 + 2) and (-3 + 1) for b, (1 * 3 + 2 * 1) and (-3 * 2 + 1 * 5) for
// w.
TEST(Autograd, PerSampleMagnitudesOfAConvolutionWithABias) {
    const Tensor x = Tensor::from_nchw({2, 1, 1, 2}, std::vector<float>{3, 1, 2, 5});
    const Tensor seed = Tensor::from_nchw({2, 1, 1, 2}, std::vector<float>{1, 2, -3, 1});
    Var w(Tensor::zeros({1, 1, 1, 1}), true), b(Tensor::zeros({1}), true);
    const PerSampleMagnitudes magnitudes;
    conv2d_fused(x, w, b, Var(), false, {}).backward(seed);
    EXPECT_THAT(w.grad().values(), testing::ElementsAre(6));
    EXPECT_THAT(b.grad().values(), testing::ElementsAre(5));
}

TEST(Autograd, ConstantsReceiveNothing) {
    Var x = scalar(3), constant = scalar(4, false);
    mul(x, constant).backward();
    EXPECT_EQ(x.grad().item(), 4.0f);
    EXPECT_FALSE(constant.grad().defined());
}

TEST(Autograd, NoGradRecordsNothing) {
    const Var x = scalar(3);
    Var y;
    {
        const NoGrad inference;
        y = square(x);
    }
    EXPECT_FALSE(y.requires_grad());
    EXPECT_THAT(error_of([&] { y.backward(); }), testing::HasSubstr("requires a gradient"));
}

TEST(Autograd, BackwardFreesTheTape) {
    Var x = scalar(2);
    Var middle = square(x), y = scale(middle, 3);
    const std::weak_ptr<detail::Node> kept = middle.node();
    middle = Var();
    EXPECT_FALSE(kept.expired());
    y.backward();
    EXPECT_TRUE(kept.expired());
    EXPECT_EQ(x.grad().item(), 12.0f);
}

TEST(Autograd, SeedWeightsEachElement) {
    Var x{Tensor::from_nchw({3}, std::vector<float>{1, 2, 3}), true};
    square(x).backward(Tensor::from_nchw({3}, std::vector<float>{1, 0, -1}));
    EXPECT_TRUE(close(x.grad(), Tensor::from_nchw({3}, std::vector<float>{2, 0, -6}), exact));
}

TEST(Autograd, SeveralElementsNeedASeed) {
    Var x{Tensor::zeros({2}), true};
    Var y = square(x);
    EXPECT_THAT(error_of([&] { y.backward(); }), testing::HasSubstr("seed"));
    EXPECT_THAT(error_of([&] { y.backward(Tensor::zeros({3})); }), testing::HasSubstr("[3]"));
}

TEST(Autograd, AVeryLongChainDiesWithoutDeepRecursion) {
    Var x = scalar(1), y = x;
    for (int i = 0; i < 200000; ++i) y = scale(y, 1.0f);
    y = Var();
    y = x;
    for (int i = 0; i < 100000; ++i) y = scale(y, 1.0f);
    y.backward();
    EXPECT_EQ(x.grad().item(), 1.0f);
}

TEST(Autograd, RowNormHasGradientZeroAtZero) {
    Var x{Tensor::from_nchw({2, 2}, std::vector<float>{0, 0, 3, 4}), true};
    sum(row_norm(x)).backward();
    EXPECT_TRUE(close(x.grad(), Tensor::from_nchw({2, 2}, std::vector<float>{0, 0, 0.6f, 0.8f}), elementwise));
}

}  // namespace
}  // namespace lethe::test
