// Distances. Expected values come from SciPy 1.10 and NumPy as said beside them, or are worked out by hand.
#include "unlearn/metrics/distances.h"

#include <gmock/gmock.h>

#include <cmath>

#include "tests/support/compare.h"
#include "tests/support/tiny.h"
#include "unlearn/metrics.h"
#include "unlearn/metrics/neighbourhood.h"

namespace lethe::test {
namespace {

using testing::HasSubstr;

// Logits whose softmax are the given rows.
Tensor logits_of(const std::vector<double>& p, int64_t classes) {
    std::vector<float> z;
    for (const double value : p) z.push_back(static_cast<float>(std::log(value)));
    return Tensor::from_nchw({static_cast<int64_t>(p.size()) / classes, classes}, z);
}

const Tensor left = logits_of({.7, .2, .1, .1, .6, .3}, 3);
const Tensor right = logits_of({1. / 3, 1. / 3, 1. / 3, .8, .1, .1}, 3);

// numpy.quantile([3, 1, 4, 1, 5, 9], [0, .05, .25, .5, .75, .95, 1])
TEST(Quantiles, AreNumpys) {
    const Quantiles s = quantiles_of({3, 1, 4, 1, 5, 9});
    EXPECT_EQ(s.minimum, 1);
    EXPECT_NEAR(s.q05, 1, 1e-12);
    EXPECT_NEAR(s.q25, 1.5, 1e-12);
    EXPECT_NEAR(s.median, 3.5, 1e-12);
    EXPECT_NEAR(s.q75, 4.75, 1e-12);
    EXPECT_NEAR(s.q95, 8, 1e-12);
    EXPECT_EQ(s.maximum, 9);
    EXPECT_NEAR(s.mean, 23.0 / 6, 1e-12);
    EXPECT_EQ(quantiles_of({2}).q95, 2);
    EXPECT_THAT(error_of([] { quantiles_of({}); }), HasSubstr("no values"));
    EXPECT_THAT(error_of([] { quantiles_of({std::nan("")}); }), HasSubstr("diverged"));
}

// numpy.mean(numpy.linalg.norm(P - Q, axis=1))
TEST(ActivationDistance, IsTheMeanOfRowNorms) {
    EXPECT_NEAR(activation_distance(left, right), 0.66889107159949, 1e-6);
    EXPECT_EQ(activation_distance(left, left), 0);
    const Tensor sure = Tensor::from_nchw({1, 2}, std::vector<float>{100, 0});
    const Tensor opposite = Tensor::from_nchw({1, 2}, std::vector<float>{0, 100});
    EXPECT_NEAR(activation_distance(sure, opposite), std::sqrt(2.0), 1e-12);
}

// scipy.spatial.distance.jensenshannon(p, q, base=2) ** 2 gives 0.107923 and 0.404193. In nats their mean would be
// 0.1775; divided by the number of classes, too, 0.085, and 1 - 0.085 looks like forgetting whatever the answers are.
TEST(Zrf, IsOneMinusTheMeanJensenShannonInBits) {
    EXPECT_NEAR(jensen_shannon(left, right), (0.10792282122729845 + 0.40419265195531834) / 2, 1e-6);
    EXPECT_NEAR(zrf(left, right), 0.7439422634086916, 1e-6);
    EXPECT_NEAR(jensen_shannon(right, left), jensen_shannon(left, right), 1e-12);
    EXPECT_EQ(zrf(left, left), 1);
    // Disjoint answers are one bit apart: nothing can be further. KL against the other side instead of the middle would
    // be infinite.
    const Tensor sure = Tensor::from_nchw({1, 2}, std::vector<float>{2000, 0});
    const Tensor opposite = Tensor::from_nchw({1, 2}, std::vector<float>{0, 2000});
    EXPECT_NEAR(zrf(sure, opposite), 0, 1e-12);
}

// scipy.spatial.distance.jensenshannon(...) ** 2 of the class means, base 2: 0.0931559 for class 0, 0.0754888 for class
// 1; class 2 is in one set only.
TEST(RetrainFreeJsd, ComparesTheMeansOfEachClass) {
    const Tensor forget = logits_of({.7, .2, .1, .1, .6, .3, .5, .3, .2}, 3);
    const Tensor unseen = logits_of({.9, .05, .05, .2, .7, .1, .4, .5, .1, .1, .1, .8}, 3);
    const std::vector<int64_t> labels{0, 1, 0}, unseen_labels{0, 1, 1, 2}, others{2, 2, 2};
    EXPECT_NEAR(*retrain_free_jsd({forget, labels}, {unseen, unseen_labels}), 0.08432231434108949, 1e-6);
    EXPECT_FALSE(retrain_free_jsd({forget, others}, {forget, labels}));
    EXPECT_THAT(error_of([&] {
                    retrain_free_jsd({forget, unseen_labels}, {unseen, unseen_labels});
                }),
                HasSubstr("4 labels for 3 rows"));
}

// Before, without the labels 0 and 2: (0, .75, .25) and (2/7, 5/7, 0); scipy's jensenshannon() ** 2 against the answers
// after, base 2, has the mean 0.168757. Only the second neighbour is given another label than its own, 1, and no
// longer.
TEST(OverUnlearning, LeavesTheLabelOut) {
    const Tensor before = logits_of({.6, .3, .1, .2, .5, .3}, 3), after = logits_of({.1, .8, .1, .3, .3, .4}, 3);
    const std::vector<int64_t> labels{0, 2};
    const OverUnlearning result = over_unlearning(before, after, labels);
    EXPECT_NEAR(result.divergence, 0.16875724332716557, 1e-6);
    EXPECT_EQ(result.total, 2);
    EXPECT_EQ(result.crossed, 1);
    EXPECT_EQ(result.changed, 1);
    EXPECT_EQ(over_unlearning(before, before, labels).changed, 0);
    // Where all of it is the label's, rounding must not decide what the others have: 1/2 each.
    const Tensor sure = Tensor::from_nchw({1, 3}, std::vector<float>{500, 0, 0});
    const Tensor even = Tensor::from_nchw({1, 3}, std::vector<float>{-500, 0, 0});
    EXPECT_NEAR(over_unlearning(sure, even, std::vector<int64_t>{0}).divergence, 0, 1e-12);
    EXPECT_THAT(error_of([&] { over_unlearning(before, left, {}); }), HasSubstr("same neighbours"));
}

// In the cube and the box, draw after draw of all images, and nearer to another class than the images were.
TEST(Neighbours, LieInTheCubeTowardsAnotherClass) {
    const auto model = tiny_model();
    const auto twin = fold_batchnorm(*model);
    const Tensor images = tiny_images(6);
    const std::vector<int64_t> labels = predictions(*model, images);
    const Tensor near = neighbours_of(*twin, images, labels, {.draws = 2});
    ASSERT_EQ(near.dim(0), 12);
    const auto pixels = static_cast<std::size_t>(images.numel() / 6);
    const Tensor at = predict(*twin, images), there = predict(*twin, near);
    double margin_at = 0, margin_there = 0;
    for (std::size_t i = 0; i < 12; ++i) {
        double furthest = 0;
        for (std::size_t p = 0; p < pixels; ++p) {
            const auto x = static_cast<double>(near.values()[i * pixels + p]);
            EXPECT_TRUE(x >= 0 && x <= 1);
            furthest = std::max(furthest, std::abs(x - static_cast<double>(images.values()[i % 6 * pixels + p])));
        }
        EXPECT_LE(furthest, 0.03 + 1e-6);
        EXPECT_GT(furthest, 0.02);
        margin_at += score_row(at.values().subspan(i % 6 * tiny_classes, tiny_classes), labels[i % 6]).margin;
        margin_there += score_row(there.values().subspan(i * tiny_classes, tiny_classes), labels[i % 6]).margin;
    }
    EXPECT_LT(margin_there, margin_at);
    EXPECT_FALSE(identical(near.rows(0, 6), near.rows(6, 12)));
}

TEST(Distances, RefuseWhatCannotBeCompared) {
    EXPECT_THAT(error_of([] { activation_distance(left, Tensor::zeros({2, 4})); }), HasSubstr("same images"));
    EXPECT_THAT(error_of([] { zrf(left, Tensor::full({2, 3}, std::nanf(""))); }), HasSubstr("diverged"));
}

// |(3,4)| = 5 of |(1,2,2)| = 3; the buffer moved by 2 of 2; the counter is no weight.
TEST(WeightDistance, ParametersAndBuffersApart) {
    const auto vector = [](std::vector<float> values) {
        return Tensor::from_nchw({static_cast<int64_t>(values.size())}, values);
    };
    const Tensor count = Tensor::from_int64({1}, std::vector<int64_t>{3});
    const StateDict before{{"a", vector({1, 2})}, {"b", vector({2})}, {"running_var", vector({2, 0})}, {"n", count}};
    const StateDict after{{"a", vector({4, 6})}, {"b", vector({2})}, {"running_var", vector({4, 0})}, {"n", count}};
    const WeightDistance distance = weight_distance(before, after);
    EXPECT_NEAR(distance.parameters.distance, 5, 1e-12);
    EXPECT_NEAR(distance.parameters.relative, 5.0 / 3, 1e-12);
    EXPECT_EQ(distance.parameters.moved, 2);
    EXPECT_EQ(distance.parameters.values, 3);
    EXPECT_NEAR(distance.buffers.relative, 1, 1e-12);
    EXPECT_EQ(distance.buffers.moved, 1);
    ASSERT_EQ(distance.tensors.size(), 3u);
    EXPECT_NEAR(distance.tensors[0].relative, std::sqrt(5.0), 1e-12);
    EXPECT_EQ(distance.tensors[1].distance, 0);
    EXPECT_TRUE(distance.tensors[2].buffer);
    EXPECT_THAT(error_of([&] { weight_distance(before, {{"a", vector({1, 2})}}); }), HasSubstr("one architecture"));
}

// (1 - 0.1) (1 - 0.05) (1 - 0.2): worse or better than the oracle counts the same.
TEST(TugOfWar, IsTheProductOfCloseness) {
    EXPECT_NEAR(tug_of_war(std::vector<double>{.8, 1, .7}, std::vector<double>{.9, .95, .9}), 0.9 * 0.95 * 0.8, 1e-12);
    EXPECT_THAT(error_of([] { tug_of_war(std::vector<double>{1}, {}); }), HasSubstr("oracle"));
}

}  // namespace
}  // namespace lethe::test
