// Distances. Expected values come from SciPy 1.10 and NumPy as said beside them, or are worked out by hand.
#include "unlearn/metrics/distances.h"

#include <gmock/gmock.h>

#include <cmath>

#include "tests/support/compare.h"

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
