#include "unlearn/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "data/synthetic.h"
#include "tests/support/compare.h"
#include "tests/support/tiny.h"

namespace lethe::test {
namespace {

const float nan_value = std::numeric_limits<float>::quiet_NaN();
const float infinity = std::numeric_limits<float>::infinity();

// Softmax of (0, ln 2, ln 5) is (1/8, 2/8, 5/8).
TEST(ScoreRow, ByHand) {
    const std::vector<float> row{0.0f, std::log(2.0f), std::log(5.0f)};
    const RowScore score = score_row(row, 1);
    EXPECT_EQ(score.predicted, 2);
    EXPECT_NEAR(score.loss, std::log(4.0), 1e-6);
    EXPECT_NEAR(score.margin, std::log(2.0) - std::log(5.0), 1e-6);
    EXPECT_NEAR(score_row(row, 2).margin, std::log(5.0) - std::log(2.0), 1e-6);
    EXPECT_TRUE(score.finite);
}

TEST(ScoreRow, LargeLogitsDoNotOverflow) {
    const RowScore score = score_row(std::vector<float>{1e4f, -1e4f}, 1);
    EXPECT_DOUBLE_EQ(score.loss, 2e4);
}

TEST(ScoreRow, TheFirstOfEqualLogitsIsPredicted) { EXPECT_EQ(score_row(std::vector<float>{1, 3, 3}, 1).predicted, 1); }

TEST(ScoreRow, NanIsNoPrediction) {
    for (int64_t label = 0; label < 3; ++label) {
        const RowScore score = score_row(std::vector<float>{nan_value, 0, 1}, label);
        EXPECT_EQ(score.predicted, -1);
        EXPECT_FALSE(score.finite);
        EXPECT_TRUE(std::isnan(score.loss) && std::isnan(score.margin));
    }
    EXPECT_FALSE(score_row(std::vector<float>{infinity, 0}, 0).finite);
}

TEST(ScoreRow, RefusesALabelOutOfRange) {
    EXPECT_THAT(error_of([] { score_row(std::vector<float>{0, 1}, 2); }), testing::HasSubstr("label 2"));
    EXPECT_THAT(error_of([] { score_row(std::vector<float>{0, 1}, -1); }), testing::HasSubstr("label -1"));
}

// Margins of the true labels by hand: 2 - 1, 0 - 3, 4 - 4; so rows 0 and 2 are right (ties go to the first).
TEST(EvaluateLogits, ByHand) {
    const Tensor logits = Tensor::from_nchw({3, 3}, std::vector<float>{2, 1, 0, 3, 0, 1, 4, 4, 0});
    const std::vector<int64_t> labels{0, 1, 0}, indices{30, 20, 10};
    const Evaluation result = evaluate_logits(logits, labels, indices);
    EXPECT_EQ(result.accuracy.correct, 2);
    EXPECT_EQ(result.accuracy.total, 3);
    EXPECT_NEAR(result.accuracy.percent(), 66.667, 1e-3);
    EXPECT_NEAR(result.mean_margin, (1.0 - 3.0 + 0.0) / 3, 1e-12);
    EXPECT_DOUBLE_EQ(result.min_margin, -3);
    EXPECT_DOUBLE_EQ(result.max_margin, 1);
    EXPECT_EQ(result.wrong, std::vector<int64_t>{20});
    ASSERT_EQ(result.per_class.size(), 3u);
    EXPECT_EQ(result.per_class[0].correct, 2);
    EXPECT_EQ(result.per_class[1].correct, 0);
    EXPECT_EQ(result.per_class[1].total, 1);
    EXPECT_EQ(result.per_class[2].total, 0);
    const double expected = std::log(1 + std::exp(-1.0) + std::exp(-2.0)) +
                            std::log(std::exp(3.0) + 1 + std::exp(1.0)) + std::log(2 + std::exp(-4.0));
    EXPECT_NEAR(result.loss, expected / 3, 1e-12);
}

TEST(EvaluateLogits, ANanRowIsWrongWhateverItsLabel) {
    for (int64_t label = 0; label < 2; ++label) {
        const Tensor logits = Tensor::from_nchw({2, 2}, std::vector<float>{nan_value, nan_value, 1, 0});
        const Evaluation result = evaluate_logits(logits, std::vector<int64_t>{label, 0});
        EXPECT_EQ(result.accuracy.correct, 1);
        EXPECT_EQ(result.wrong, std::vector<int64_t>{0});
        EXPECT_FALSE(result.finite);
        EXPECT_TRUE(std::isnan(result.min_margin) && std::isnan(result.max_margin));
    }
}

TEST(EvaluateLogits, NothingIsNothing) {
    const Evaluation result = evaluate_logits(Tensor::empty({0, 4}), {});
    EXPECT_EQ(result.accuracy.total, 0);
    EXPECT_EQ(result.accuracy.percent(), 0);
    EXPECT_EQ(result.max_margin, 0);
}

TEST(EvaluateLogits, RefusesListsThatDoNotFit) {
    const Tensor logits = Tensor::zeros({2, 3});
    EXPECT_THAT(error_of([&] { evaluate_logits(logits, std::vector<int64_t>{0}); }), testing::HasSubstr("1 labels"));
    EXPECT_THAT(error_of([&] {
                    evaluate_logits(logits, std::vector<int64_t>{0, 0}, std::vector<int64_t>{5});
                }),
                testing::HasSubstr("1 indices"));
}

TEST(Evaluate, IsTheSumOfItsParts) {
    const Dataset data = make_synthetic(3, Split::test, 40);
    const auto twin = fold_batchnorm(Model({.arch = "resnet8", .classes = data.classes()}));
    int64_t seen = 0;
    const std::vector<int64_t> all = all_indices(data);
    const Evaluation whole = evaluate(*twin, data, all, [&](int64_t done) { seen = done; });
    EXPECT_EQ(seen, 40);
    const Evaluation left = evaluate(*twin, data, std::span(all).first(15));
    const Evaluation right = evaluate(*twin, data, std::span(all).subspan(15));
    EXPECT_EQ(whole.accuracy.correct, left.accuracy.correct + right.accuracy.correct);
    EXPECT_NEAR(whole.loss, (15 * left.loss + 25 * right.loss) / 40, 1e-9);
    EXPECT_DOUBLE_EQ(whole.max_margin, std::max(left.max_margin, right.max_margin));
    EXPECT_EQ(static_cast<int64_t>(whole.wrong.size()), 40 - whole.accuracy.correct);
    std::vector<int64_t> wrong = left.wrong;
    wrong.insert(wrong.end(), right.wrong.begin(), right.wrong.end());
    EXPECT_EQ(whole.wrong, wrong);
}

}  // namespace
}  // namespace lethe::test
