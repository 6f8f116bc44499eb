// Images made of a model alone: the distance of statistics, where they begin, what they become.
#include "unlearn/inversion.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "tensor/parallel.h"
#include "tests/support/compare.h"
#include "tests/support/tiny.h"
#include "unlearn/metrics.h"

namespace lethe::test {
namespace {

class InversionTest : public testing::Test {
protected:
    void TearDown() override { set_threads(0); }

    std::unique_ptr<Model> model = tiny_model();
    Tensor seeds = tiny_images(4);
    InversionOptions options{.images = 12, .steps = 3, .lr = 0.1f, .seed = 4};
};

TEST_F(InversionTest, DistanceOfStatisticsByHand) {
    // Channel 0 holds 1, 3, 5, 7: mean 4, variance 5. Channel 1 holds 2, 2, 4, 4: mean 3, variance 1. From means (1, 7)
    // and variances (2, 5): |(3, -4)| + |(3, -4)| = 10.
    const Tensor x = Tensor::from_nchw({2, 2, 1, 2}, std::vector<float>{1, 3, 2, 2, 5, 7, 4, 4});
    const Tensor m = Tensor::from_nchw({2}, std::vector<float>{1, 7}),
                 v = Tensor::from_nchw({2}, std::vector<float>{2, 5});
    Var input(x, true);
    Var distance = statistics_distance(input, m, v);
    EXPECT_NEAR(distance.value().item(), 10.0f, 1e-4f);
    distance.backward();
    // Of channel 0: 3/5 / 4 + 3/5 * 2 (x - 4) / 4 = 0.15 + 0.3 (x - 4); of channel 1: -0.2 - 0.4 (x - 3).
    const std::vector<float> expected{-0.75f, -0.15f, 0.2f, 0.2f, 0.45f, 1.05f, -0.6f, -0.6f};
    EXPECT_TRUE(close(input.grad().to_nchw(), expected, reduction));
}

TEST_F(InversionTest, DistanceIsZeroWithoutAGradientWhereStatisticsAgree) {
    const Tensor x = Tensor::from_nchw({2, 1, 1, 1}, std::vector<float>{-1, 1});
    Var input(x, true);
    const Tensor m = Tensor::zeros({1});
    Var distance = statistics_distance(input, m, Tensor::full({1}, 1.0f));
    EXPECT_NEAR(distance.value().item(), 0.0f, 1e-6f);
    distance.backward();
    for (const float g : input.grad().values()) EXPECT_TRUE(std::isfinite(g));
}

// A seed that grows brighter to the right: every window of it does or, mirrored, the opposite; its span is that of the
// window, times contrast.
TEST_F(InversionTest, PatchesAreWindowsOfSeeds) {
    constexpr int64_t side = 20;
    std::vector<float> ramp;
    for (int64_t i = 0; i < 3 * side * side; ++i) ramp.push_back(0.45f + 0.1f * static_cast<float>(i % side) / side);
    const Tensor seed = Tensor::from_nchw({1, 3, side, side}, ramp);
    const Tensor all = patches(seed, 40, Random(3, Purpose::inversion), 7);
    int mirrored = 0;
    for (int64_t i = 0; i < 40; ++i) {
        const std::vector<float> patch = all.rows(i, i + 1).to_nchw();
        const float span = patch[side - 1] - patch[0];
        mirrored += span < 0 ? 1 : 0;
        for (std::size_t j = 0; j + 1 < patch.size(); ++j)
            if ((j + 1) % side != 0) {
                EXPECT_GE((patch[j + 1] - patch[j]) * span, -1e-6f);
            }
        EXPECT_LT(std::abs(span), 0.1f * 0.9f * 1.3f * 1.15f);  // 6/10 of the area at 4:3 is 0.9 of the width
        EXPECT_GT(std::abs(span), 0.0f);
    }
    EXPECT_GT(mirrored, 5);
    EXPECT_LT(mirrored, 35);
    EXPECT_TRUE(identical(patches(seed, 10, Random(3, Purpose::inversion), 17), all.rows(10, 20).clone()));
}

TEST_F(InversionTest, ImagesComeCloserToTheStatisticsAndTheLabels) {
    options.steps = 1;
    const Inversion first = invert(*model, seeds, options);
    options.steps = 60;
    int64_t last = 0;
    const Inversion later = invert(*model, seeds, options, [&](int64_t done) {
        EXPECT_GT(done, last);
        last = done;
    });
    EXPECT_EQ(last, 12 * 60);
    EXPECT_LT(later.statistics, 0.8 * first.statistics);
    EXPECT_LT(later.loss, first.loss);
    EXPECT_EQ(later.labels, inversion_labels(12, tiny_classes));
    for (const float pixel : later.images.values()) EXPECT_TRUE(pixel >= 0.0f && pixel <= 1.0f);
    const auto hits = [&](const Inversion& inversion) {
        return evaluate_logits(predict(*fold_batchnorm(*model), inversion.images), inversion.labels).accuracy.correct;
    };
    EXPECT_GT(hits(later), hits(first));
}

TEST_F(InversionTest, DependsOnTheSeedAloneAndLeavesTheModelAlone) {
    const StateDict before = model->clone()->state();
    const Tensor images = invert(*model, seeds, options).images;
    for (std::size_t i = 0; i < before.size(); ++i)
        EXPECT_TRUE(identical(model->state()[i].second, before[i].second)) << before[i].first;
    set_threads(1);
    EXPECT_TRUE(identical(invert(*model, seeds, options).images, images));
    options.seed = 5;
    EXPECT_FALSE(identical(invert(*model, seeds, options).images, images));
}

TEST_F(InversionTest, ModelsWithoutBatchNormAndOptionsOutOfRangeAreRefused) {
    const Model plain({.arch = "squeezenet1_1", .classes = 5}, 1);
    EXPECT_FALSE(has_batchnorm(plain));
    EXPECT_TRUE(has_batchnorm(*model));
    EXPECT_THAT(error_of([&] { invert(plain, seeds, options); }), testing::HasSubstr("has no BatchNorm"));
    const auto error = [&](auto set) {
        return error_of([&] {
            InversionOptions wrong;
            set(wrong);
            invert(*model, seeds, wrong);
        });
    };
    EXPECT_THAT(error([](InversionOptions& o) { o.images = 0; }), testing::HasSubstr("images is 0"));
    EXPECT_THAT(error([](InversionOptions& o) { o.steps = 0; }), testing::HasSubstr("steps is 0"));
    EXPECT_THAT(error([](InversionOptions& o) { o.lr = 0; }), testing::HasSubstr("lr is 0"));
}

}  // namespace
}  // namespace lethe::test
