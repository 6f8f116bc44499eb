// Membership inference. Expected values are counted by hand, or come from SciPy 1.10 as said beside them.
#include "unlearn/metrics/membership.h"

#include <gmock/gmock.h>

#include <cmath>
#include <limits>

#include "tensor/random.h"
#include "tests/support/compare.h"

namespace lethe::test {
namespace {

using testing::HasSubstr;
using Scores = std::vector<double>;

// scipy.stats.mannwhitneyu(members, non_members).statistic / (5 * 7): 24.5 of 35 pairs, ties counted half. Counted
// whole or not at all, the AUC would be 28/35 or 21/35.
TEST(ThresholdAttack, TiesCountHalf) {
    const Scores members{3, 1, 2, 2, 5}, others{0, 2, 1, 4, 2, 2, -1};
    const ThresholdAttack attack = threshold_attack(members, others);
    EXPECT_NEAR(attack.auc, 0.7, 1e-12);
    // Above 4: {5}; above 2: {3,5} and {4}; from 2 on: 4 of 5 and 4 of 7; from 1 on: all 5 and 5 of 7.
    EXPECT_NEAR(attack.balanced_accuracy, (1 + 1 - 5.0 / 7) / 2, 1e-12);
    EXPECT_NEAR(attack.tpr_at_1_percent, 0.2, 1e-12);
    EXPECT_NEAR(threshold_attack(others, members).auc, 0.3, 1e-12) << "the sides are swapped";
}

TEST(ThresholdAttack, PerfectUselessAndReversed) {
    EXPECT_EQ(threshold_attack(Scores{2, 3}, Scores{0, 1}).auc, 1);
    EXPECT_EQ(threshold_attack(Scores{2, 3}, Scores{0, 1}).tpr_at_01_percent, 1);
    EXPECT_EQ(threshold_attack(Scores{1, 1}, Scores{1, 1, 1}).auc, 0.5);
    EXPECT_EQ(threshold_attack(Scores{1, 1}, Scores{1, 1, 1}).balanced_accuracy, 0.5);
    EXPECT_EQ(threshold_attack(Scores{0}, Scores{1, 2}).auc, 0);
    EXPECT_EQ(threshold_attack(Scores{0}, Scores{1, 2}).balanced_accuracy, 0.5);
}

// Non-members 0..999. A threshold may let 10 of them pass at 1 %, one at 0.1 %: members above 989 and 998 are found.
TEST(ThresholdAttack, LowFalsePositiveRates) {
    Scores others(1000);
    for (std::size_t i = 0; i < others.size(); ++i) others[i] = static_cast<double>(i);
    const ThresholdAttack attack = threshold_attack(Scores{2000, 998.5, 989.5, 988.5, 3}, others);
    EXPECT_NEAR(attack.tpr_at_1_percent, 0.6, 1e-12);
    EXPECT_NEAR(attack.tpr_at_01_percent, 0.4, 1e-12);
    // A tie with the eleventh non-member cannot be had without it.
    EXPECT_NEAR(threshold_attack(Scores{989}, others).tpr_at_1_percent, 0.0, 1e-12);
}

TEST(ThresholdAttack, RefusesNothingAndNan) {
    EXPECT_THAT(error_of([] { threshold_attack(Scores{}, Scores{1}); }), HasSubstr("0 members"));
    EXPECT_THAT(error_of([] { threshold_attack(Scores{1}, Scores{std::nan("")}); }), HasSubstr("diverged"));
}

// scipy.optimize.minimize (BFGS, gtol 1e-12) of the objective in the header.
TEST(LogisticRegression, IsTheMinimumThatSciPyFinds) {
    const LogisticFit fit = fit_logistic(Scores{0.5, 1.5, 2.0, -0.2}, Scores{-1.0, 0.1, -0.7, 0.9, -2.0, 0.3});
    EXPECT_NEAR(fit.weight, 0.9217492623792855, 1e-7);
    EXPECT_NEAR(fit.bias, -0.2681544995862853, 1e-7);
}

TEST(LogisticAttack, FindsWhatCanBeFoundAndNothingElse) {
    const Scores low{1, 2, 3, 4, 5, 6}, high{11, 12, 13, 14, 15, 16, 17, 18};
    EXPECT_EQ(logistic_attack(high, low, 3, 0), 1);
    EXPECT_EQ(logistic_attack(low, high, 3, 0), 1) << "the sign of the weight is learnt";
    const Random random(1, Purpose::synthetic);
    Scores left(400), right(400);
    for (std::size_t i = 0; i < left.size(); ++i) {
        left[i] = static_cast<double>(random.uniform(0, static_cast<uint32_t>(i)));
        right[i] = static_cast<double>(random.uniform(1, static_cast<uint32_t>(i)));
    }
    EXPECT_NEAR(logistic_attack(left, right, 10, 0), 0.5, 0.075);  // three standard errors of 1 / sqrt(2 * 800)
    // 4 of 100 against many: a majority vote would be right for 96 %; both classes weigh the same here.
    EXPECT_LT(logistic_attack(std::span(left).first(4), right, 4, 0), 0.9);
    EXPECT_EQ(logistic_attack(left, right, 5, 3), logistic_attack(left, right, 5, 3));
}

TEST(LogisticAttack, RefusesMoreFoldsThanImages) {
    EXPECT_THAT(error_of([] { logistic_attack(Scores{1, 2}, Scores{1, 2, 3}, 3, 0); }), HasSubstr("2 to 2"));
}

// p = (1/8, 2/8, 5/8), y = 1. With SciPy: entropy(p), and the sum of the header in NumPy. With log p where log(1 - p)
// is meant the modified entropy would be 1.5934.
TEST(OutputFeatures, ByHand) {
    const Tensor logits = Tensor::from_nchw({1, 3}, std::vector<float>{0.0f, std::log(2.0f), std::log(5.0f)});
    const OutputFeatures features = output_features(logits, std::vector<int64_t>{1})[0];
    EXPECT_EQ(features.correct, 0);
    EXPECT_NEAR(features.confidence, 0.25, 1e-7);
    EXPECT_NEAR(features.entropy, 0.9002560512685369, 1e-6);
    EXPECT_NEAR(features.modified_entropy, 1.669430478050312, 1e-6);
    EXPECT_EQ(output_features(logits, std::vector<int64_t>{2})[0].correct, 1);
}

// p_y = 1 - 2e-22 or so: the modified entropy goes to 0 when that is right and to 50 nats when it is wrong (the true
// class has exp(-50), and log(1 - p) of the other is log(2 exp(-50))). Each row is judged by its own label.
TEST(OutputFeatures, ConfidentRowsAreNeitherZeroNorInfinite) {
    const Tensor logits = Tensor::from_nchw({2, 3}, std::vector<float>{50, 0, 0, 50, 0, 0});
    const auto features = output_features(logits, std::vector<int64_t>{0, 1});
    EXPECT_NEAR(features[0].modified_entropy, 0, 1e-15);
    EXPECT_GT(features[0].entropy, 0);
    EXPECT_NEAR(features[1].modified_entropy, 50 + 50 - std::log(2.0), 1e-9);
    EXPECT_NEAR(features[1].confidence, std::exp(-50.0), 1e-30);
}

TEST(OutputFeatures, RefuseWhatIsNoNumber) {
    const Tensor logits = Tensor::from_nchw({1, 2}, std::vector<float>{0, std::numeric_limits<float>::infinity()});
    EXPECT_THAT(error_of([&] { output_features(logits, std::vector<int64_t>{0}); }), HasSubstr("diverged"));
    EXPECT_THAT(error_of([&] {
                    output_features(Tensor::zeros({1, 2}), std::vector<int64_t>{2});
                }),
                HasSubstr("label 2"));
}

OutputFeatures drawn_features(const Random& random, uint64_t item, double centre) {
    const auto noise = [&](uint32_t i) { return 0.05 * static_cast<double>(random.normal(item, i)); };
    return {1, centre + noise(0), 1 - centre + noise(1), 1 - centre + noise(2)};
}

// Retained images are confident (0.9), test images are not (0.4); D_f is drawn like one or the other.
TEST(SvcAttack, TellsWhichSideTheForgottenImagesAreOn) {
    const Random random(2, Purpose::synthetic);
    std::vector<OutputFeatures> retain, test, like_retain, like_test;
    for (uint64_t i = 0; i < 60; ++i) {
        retain.push_back(drawn_features(random, i, 0.9));
        test.push_back(drawn_features(random, 1000 + i, 0.4));
        like_retain.push_back(drawn_features(random, 2000 + i, 0.9));
        like_test.push_back(drawn_features(random, 3000 + i, 0.4));
    }
    const auto remembered = svc_attack(like_retain, retain, test, 0);
    const auto forgotten = svc_attack(like_test, retain, test, 0);
    ASSERT_EQ(remembered.size(), 5u);
    for (const char* feature : {"confidence", "entropy", "modified-entropy", "all"})
        for (std::size_t i = 0; i < 5; ++i) {
            if (remembered[i].feature != feature) continue;
            EXPECT_LT(remembered[i].forget_out, 0.1) << feature;
            EXPECT_GT(forgotten[i].forget_out, 0.9) << feature;
            EXPECT_GT(remembered[i].test_out, 0.9) << feature;
            EXPECT_GT(remembered[i].accuracy, 0.9) << feature;
        }
    EXPECT_EQ(remembered[0].feature, "correct");  // the same everywhere: the attack says so of itself
    EXPECT_EQ(remembered[0].accuracy, 0.5);
    const auto again = svc_attack(like_test, retain, test, 0);
    for (std::size_t i = 0; i < 5; ++i) EXPECT_EQ(again[i].forget_out, forgotten[i].forget_out);
}

TEST(SvcAttack, RefusesTooFew) {
    const std::vector<OutputFeatures> three(3), five(5);
    EXPECT_THAT(error_of([&] { svc_attack(five, three, five, 0); }), HasSubstr("3 retained"));
}

}  // namespace
}  // namespace lethe::test
