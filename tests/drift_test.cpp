// Where unlearning sits: movement against importance, BatchNorm's statistics, the attack it learned from. Expected
// values are worked out by hand.
#include "unlearn/metrics/drift.h"

#include <gmock/gmock.h>

#include <cmath>

#include "data/image_file.h"
#include "tests/support/compare.h"
#include "tests/support/tiny.h"
#include "unlearn/metrics/attack_sheet.h"
#include "unlearn/metrics/batchnorm.h"

namespace lethe::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

Tensor vector(const std::vector<float>& values) {
    return Tensor::from_nchw({static_cast<int64_t>(values.size())}, values);
}

// Omega-bar of "a": 0, 0.25, 1, so w = 1, 0.75, 0; of "b", where all are the same, 0 and w = 1.
const StateDict omega{{"a", vector({2, 4, 10})}, {"b", vector({0.05f, 0.05f})}};
const StateDict start{{"a", vector({1, 1, 1})}, {"b", vector({1, 1})}, {"bn.running_var", vector({9})}};

TEST(ImportanceSpread, BeforeByDecadesAfterByTenths) {
    const std::vector<ImportanceSpread> spread = importance_spread(omega);
    ASSERT_EQ(spread.size(), 2u);
    EXPECT_EQ(spread[0].name, "a");
    EXPECT_EQ(spread[0].largest, 10);
    EXPECT_FALSE(spread[0].degenerate);
    EXPECT_THAT(spread[0].decades, ElementsAre(3, 0, 0, 0, 0, 0, 0, 0, 0, 0));  // 0.2, 0.4, 1 of the largest
    EXPECT_THAT(spread[0].tenths, ElementsAre(1, 0, 1, 0, 0, 0, 0, 0, 0, 1));
    EXPECT_THAT(spread[1].decades, ElementsAre(0, 0, 2, 0, 0, 0, 0, 0, 0, 0));  // 0.005
    EXPECT_TRUE(spread[1].degenerate);
    EXPECT_THAT(spread[1].tenths, ElementsAre(2, 0, 0, 0, 0, 0, 0, 0, 0, 0));
    EXPECT_THAT(importance_spread({{"c", vector({0, 1})}})[0].decades, ElementsAre(1, 0, 0, 0, 0, 0, 0, 0, 0, 1));
}

// "a" moves by 1, -2, 3: sum of squares 14, against w 1 + 0.75 * 4 + 0 = 4. With "b", moved by 1 and 0: 5 of 15.
TEST(Drift, IsTheShareOfTheMovementThatWasProtected) {
    const StateDict end{{"a", vector({2, -1, 4})}, {"b", vector({2, 1})}, {"bn.running_var", vector({5})}};
    const DriftReport report = drift_of(omega, start, end);
    ASSERT_EQ(report.tensors.size(), 2u);
    EXPECT_NEAR(report.tensors[0].protected_share, 4.0 / 14, 1e-12);
    EXPECT_NEAR(report.tensors[0].expected, 1.75 / 3, 1e-12);
    EXPECT_THAT(report.tensors[0].mean_move, ElementsAre(1, 0, 2, 0, 0, 0, 0, 0, 0, 3));
    EXPECT_EQ(report.tensors[1].protected_share, 1);
    EXPECT_NEAR(report.whole.protected_share, 5.0 / 15, 1e-12);
    EXPECT_NEAR(report.whole.expected, 3.75 / 5, 1e-12);
    EXPECT_NEAR(report.whole.moved, 15, 1e-12);
    EXPECT_THAT(report.whole.values, ElementsAre(3, 0, 1, 0, 0, 0, 0, 0, 0, 1));
    EXPECT_NEAR(report.whole.mean_move[0], 2.0 / 3, 1e-12);
    EXPECT_EQ(drift_of(omega, start, start).whole.protected_share, 0);
    EXPECT_THAT(error_of([] { drift_of({{"z", vector({1})}}, start, start); }), HasSubstr("tensor z"));
    EXPECT_THAT(error_of([] { drift_of({{"a", vector({1})}}, start, start); }), HasSubstr("a is"));
}

// The largest movement is in full colour, none is white, and where no weight is it is grey.
TEST(DriftPicture, IsDarkWhereWeightsMoved) {
    const TemporaryFolder folder;
    const StateDict end{{"a", vector({1, 1, 4})}, {"b", vector({1, 1})}, {"bn.running_var", vector({9})}};
    write_drift_picture(folder.path("drift.png"), importance_spread(omega), {{"imp", drift_of(omega, start, end)}});
    const ImageBytes picture = read_image(folder.path("drift.png"));
    const auto colour = [&](int x, int y) {
        const auto at = static_cast<std::size_t>((y * picture.width + x) * 3);
        return std::vector<int>{picture.pixels[at], picture.pixels[at + 1], picture.pixels[at + 2]};
    };
    const int strip = 250 + 2 * (110 + 24);  // of the model, whose tenth cell "a" moved by 3
    EXPECT_THAT(colour(strip + 9 * 11 + 4, 66 + 4), ElementsAre(213, 94, 0));
    EXPECT_THAT(colour(strip + 4, 66 + 4), ElementsAre(255, 255, 255));
    EXPECT_THAT(colour(strip + 11 + 4, 66 + 4), ElementsAre(235, 235, 235));  // no weight of "a" is there
    EXPECT_THAT(colour(250 + 4, 66 + 4), ElementsAre(0, 114, 178));           // all of "a" in the first decade
}

// Statistics of one layer, computed from its own inputs: the stem sees the normalised images whatever comes later.
TEST(RunningStatistics, AreThoseOfTheImages) {
    const auto model = tiny_model(), before = tiny_model();
    const Tensor images = tiny_images(7);
    // What PyTorch would have left from any start, by running = 0.9 running + 0.1 batch.
    std::vector<Tensor> batches;
    for (int64_t begin : {0, 3}) {
        const auto other = tiny_model();
        const NoGrad inference;
        other->forward(images.rows(begin, begin + 3), BatchNormMode::batch);
        for (const auto& [name, tensor] : other->state())
            if (name == "bn1.running_mean" || name == "bn1.running_var") batches.push_back(tensor.clone());
    }
    estimate_running_statistics(*model, images, 3);  // two batches; the seventh image is left out
    std::vector<Tensor> was, now;
    for (const auto& [name, tensor] : before->state())
        if (name == "bn1.running_mean" || name == "bn1.running_var") was.push_back(tensor);
    for (const auto& [name, tensor] : model->state())
        if (name == "bn1.running_mean" || name == "bn1.running_var") now.push_back(tensor);
    ASSERT_EQ(now.size(), 2u);
    for (std::size_t which = 0; which < 2; ++which)
        for (std::size_t c = 0; c < 16; ++c) {
            const auto batch = [&](std::size_t b) {
                return (static_cast<double>(batches[2 * b + which].data()[c]) -
                        0.9 * static_cast<double>(was[which].data()[c])) /
                       0.1;
            };
            EXPECT_NEAR(static_cast<double>(now[which].data()[c]), (batch(0) + batch(1)) / 2, 2e-5) << which;
        }
    copy_running_statistics(*before, *model);
    for (std::size_t which = 0; which < 2; ++which) EXPECT_TRUE(identical(now[which], was[which]));
    EXPECT_TRUE(has_running_statistics(*model));
    EXPECT_FALSE(has_running_statistics(Model({.arch = "squeezenet1_1", .classes = 2, .stem = "cifar"}, std::nullopt)));
    EXPECT_THAT(error_of([&] { estimate_running_statistics(*model, tiny_images(1)); }), HasSubstr("at least 2"));
}

// Two images of zeros, three rows: by 0.3 in one pixel, by 0.1 in four, by nothing.
TEST(AttackSheet, CountsAndMeasures) {
    const int64_t pixels = 3 * tiny_side * tiny_side;
    Tensor rows = Tensor::zeros({3, 3, tiny_side, tiny_side});
    rows.mutable_data()[5] = 0.3f;
    for (int64_t i = 0; i < 4; ++i) rows.mutable_data()[pixels + 7 * i] = 0.1f;
    AttackSet attack{
        Tensor::zeros({2, 3, tiny_side, tiny_side}), {4, 1}, ImageRows(rows), {3, 1, 3}, {true, true, false}};
    const AttackQuality quality = attack_quality(attack);
    ASSERT_EQ(quality.targets.size(), 2u);
    EXPECT_EQ(quality.targets[0].target, 1);
    EXPECT_EQ(quality.targets[1].rows, 2);
    EXPECT_EQ(quality.targets[1].hits, 1);
    EXPECT_EQ(quality.own_label, 1);
    EXPECT_NEAR(quality.l2.maximum, 0.3, 1e-6);
    EXPECT_NEAR(quality.l2.median, 0.2, 1e-6);
    EXPECT_NEAR(quality.linf.median, 0.1, 1e-6);
    EXPECT_EQ(quality.linf.minimum, 0);

    const auto model = tiny_model();
    const auto twin = fold_batchnorm(*model);
    const std::vector<int64_t> seen = predictions(*model, rows);
    attack.targets = {seen[0], (seen[1] + 1) % tiny_classes, seen[2]};
    attack.labels = {(seen[0] + 1) % tiny_classes, seen[1]};
    const AttackTransfer transfer = attack_transfer(*twin, attack, 0);
    EXPECT_EQ(transfer.rows, 3);
    EXPECT_EQ(transfer.target, 2);
    EXPECT_EQ(transfer.label, 1);
    const Tensor logits = predict(*twin, rows);
    double sum = 0;
    for (int64_t j = 0; j < tiny_classes; ++j)
        sum += std::exp(static_cast<double>(logits.data()[j] - logits.data()[seen[0]]));
    attack_transfer(*twin, attack, 1);
    EXPECT_NEAR(attack_transfer(*twin, attack, 1).confidence.median, 1 / sum, 1e-6);  // of the first row alone
    attack.hits.pop_back();
    EXPECT_THAT(error_of([&] { attack_quality(attack); }), HasSubstr("do not fit"));
}

}  // namespace
}  // namespace lethe::test
