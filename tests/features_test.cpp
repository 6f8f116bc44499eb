// Features of a model's blocks, and what is asked of them: CKA, nearest neighbours, a linear probe. Expected values
// come from NumPy 1.24 as said beside them (the probe's from Newton's method, which the code does not use), or by hand.
#include "nn/features.h"

#include <gmock/gmock.h>

#include <cmath>

#include "tensor/parallel.h"
#include "tests/support/compare.h"
#include "tests/support/tiny.h"
#include "unlearn/metrics/cka.h"
#include "unlearn/metrics/probe.h"

namespace lethe::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

Tensor matrix(int64_t rows, const std::vector<float>& values) {
    return Tensor::from_nchw({rows, static_cast<int64_t>(values.size()) / rows}, values);
}

// The layer of logits is linear: what it is given, times its weight, plus its bias, is what the model answers.
TEST(Features, ThePenultimateGivesTheLogits) {
    const auto model = tiny_model();
    const Tensor images = tiny_images(37);
    const auto twin = fold_batchnorm(*model);
    const Features seen = features(*twin, images);
    EXPECT_THAT(seen.blocks, ElementsAre("conv1", "layer1.0", "layer2.0", "layer3.0", "linear"));
    const Tensor logits = predict(*twin, images);
    EXPECT_TRUE(identical(seen.values.back(), logits));
    const auto parameters = model->net().parameters();
    const Tensor weight = parameters[parameters.size() - 2].var.value(), bias = parameters.back().var.value();
    std::vector<double> expected;
    for (int64_t i = 0; i < 37; ++i)
        for (int64_t c = 0; c < tiny_classes; ++c) {
            double sum = static_cast<double>(bias.data()[c]);
            for (int64_t f = 0; f < 64; ++f)
                sum += static_cast<double>(weight.data()[c * 64 + f]) *
                       static_cast<double>(seen.penultimate.data()[i * 64 + f]);
            expected.push_back(sum);
        }
    EXPECT_TRUE(close(logits.values(), expected, reduction, 64));
}

// Of image 21 alone, heard from the model itself and averaged here.
TEST(Features, ABlockIsTheMeanOverTheImage) {
    const auto twin = fold_batchnorm(*tiny_model());
    const Tensor images = tiny_images(37);
    const Features seen = features(*twin, images);
    std::vector<std::vector<float>> outputs;
    {
        const NoGrad inference;
        const Listener listener(
            [&](const Module&, const Var&, const Var& y) { outputs.push_back(y.value().to_nchw()); });
        twin->forward(images.rows(21, 22), BatchNormMode::running);
    }
    twin->forward(images.rows(21, 22), BatchNormMode::running);  // nobody listens any more
    ASSERT_EQ(outputs.size(), 5u);
    for (std::size_t block = 0; block < 4; ++block) {
        const int64_t channels = seen.values[block].dim(1);
        const auto pixels = static_cast<int64_t>(outputs[block].size()) / channels;
        std::vector<double> expected;
        for (int64_t c = 0; c < channels; ++c) {
            double sum = 0;
            for (int64_t i = 0; i < pixels; ++i)
                sum += static_cast<double>(outputs[block][static_cast<std::size_t>(c * pixels + i)]);
            expected.push_back(sum / static_cast<double>(pixels));
        }
        EXPECT_TRUE(close(seen.values[block].rows(21, 22).values(), expected, network)) << seen.blocks[block];
    }
}

TEST(Features, AreTheSameForAnyNumberOfThreads) {
    const auto twin = fold_batchnorm(*tiny_model());
    const Tensor images = tiny_images(37);
    set_threads(1);
    const Features once = features(*twin, images);
    set_threads(3);
    const Features again = features(*twin, images);
    set_threads(0);
    EXPECT_TRUE(identical(once.penultimate, again.penultimate));
    for (std::size_t block = 0; block < once.values.size(); ++block)
        EXPECT_TRUE(identical(once.values[block], again.values[block]));
}

// Every family of models runs its blocks, and at last its layer of logits, so that they are heard.
TEST(Features, EveryArchitectureIsHeard) {
    for (const char* arch : {"resnet18", "mobilenet_v2", "squeezenet1_1", "densenet121"}) {
        ModelSpec spec{.arch = arch, .classes = 4, .stem = "cifar"};
        const auto twin = fold_batchnorm(Model(spec, std::nullopt));
        const Features seen = features(*twin, Tensor::zeros({2, 3, 32, 32}));
        EXPECT_GE(seen.blocks.size(), 9u) << arch;
        EXPECT_EQ(seen.blocks.back() + ".bias", twin->net().parameters().back().name);
        EXPECT_EQ(seen.values.back().shape(), Shape({2, 4})) << arch;
        EXPECT_GE(seen.penultimate.dim(1), 256) << arch;
    }
    EXPECT_THAT(error_of([] { Model({.arch = "resnet8"}).net().name_of(Model({.arch = "resnet8"}).net()); }),
                HasSubstr("no part"));
}

// numpy: norm(Yc.T @ Xc)**2 / (norm(Xc.T @ Xc) * norm(Yc.T @ Yc)); 0.8628419 without centring.
TEST(Cka, IsKornblithsFormula) {
    const Tensor x = matrix(4, {1, 2, 3, -1, 0, 4, 2, 2}), y = matrix(4, {1, 0, 2, 0, 1, 1, 3, 1, 0, 2, 2, 2});
    EXPECT_NEAR(*linear_cka(x, y), 0.6911301096041444, 1e-12);
    EXPECT_NEAR(*linear_cka(y, x), 0.6911301096041444, 1e-12);
    // x turned by a right angle, doubled and moved: the same features.
    EXPECT_NEAR(*linear_cka(x, matrix(4, {-3, 3, 3, 7, -7, 1, -3, 5})), 1, 1e-12);
    // Of four images one column tells the halves and the other odd from even: nothing in common.
    EXPECT_NEAR(*linear_cka(matrix(4, {0, 0, 1, 1}), matrix(4, {0, 1, 0, 1})), 0, 1e-12);
    EXPECT_FALSE(linear_cka(matrix(1, {1, 2}), matrix(1, {3, 4})));  // of one image nothing varies
    EXPECT_THAT(error_of([&] { linear_cka(x, matrix(3, {1, 2, 3})); }), HasSubstr("same images"));
}

// Cosines of (1, 0) with the rows: 1, 0.8, 0.6, 0, -1; their lengths do not matter.
TEST(NearestClasses, VoteByCosine) {
    const Tensor rows = matrix(5, {.1f, 0, .8f, .6f, 3, 4, 0, 1, -1, 0});
    const std::vector<int64_t> labels{2, 1, 1, 0, 0};
    const Tensor asked = matrix(2, {1, 0, -5, 0});
    EXPECT_THAT(nearest_classes({rows, labels}, asked, 1), ElementsAre(2, 0));
    EXPECT_THAT(nearest_classes({rows, labels}, asked, 3), ElementsAre(1, 0));
    EXPECT_THAT(nearest_classes({rows, labels}, asked, 2), ElementsAre(2, 0));   // one vote each: the nearer
    EXPECT_THAT(nearest_classes({rows, labels}, asked, 99), ElementsAre(1, 0));  // 2 1 1 0 0: as many, 1 is nearer
    EXPECT_THAT(error_of([&] { nearest_classes({rows, labels}, asked, 0); }), HasSubstr("k must be"));
    EXPECT_THAT(error_of([&] { nearest_classes({rows, labels}, matrix(1, {1, 2, 3})); }), HasSubstr("rows of 2"));
}

// Probabilities of two questions under Newton's solution of scikit-learn's objective, for C = 1 and C = 3.
TEST(LinearProbe, IsMultinomialLogisticRegression) {
    const Tensor rows = matrix(8, {0, 0, 1, .5f, .5f, 1, 2, 2, 3, 1.5f, 2.5f, 3, 0, 3, 1, 4});
    const std::vector<int64_t> labels{0, 0, 0, 1, 1, 1, 2, 2};
    const Tensor asked = matrix(2, {1.5f, 1.5f, 0, 0});
    const auto expect = [&](double c, const std::vector<double>& expected) {
        const LinearProbe probe({rows, labels}, 3, c);
        const std::vector<double> z = probe.logits(asked);
        for (std::size_t i = 0; i < 6; ++i) {
            double sum = 0;
            for (std::size_t j = 0; j < 3; ++j) sum += std::exp(z[i / 3 * 3 + j]);
            EXPECT_NEAR(std::exp(z[i]) / sum, expected[i], 1e-5) << "C " << c << ", " << i;
        }
        EXPECT_THAT(probe.classify(asked), ElementsAre(1, 0));
    };
    expect(1, {0.4052592446081853, 0.4456885353372357, 0.149052220054579, 0.9118398373469733, 0.03843379350939834,
               0.04972636914362844});
    expect(3, {0.4163867970802499, 0.48211871505291, 0.1014944878668402, 0.974998457623496, 0.009713636832962043,
               0.015287905543541884});
    EXPECT_THAT(error_of([&] { LinearProbe({rows, labels}, 2); }), HasSubstr("label 2 is outside"));
}

}  // namespace
}  // namespace lethe::test
