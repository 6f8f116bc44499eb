// Evidence for single images: values worked out by hand, McNemar's by exact fractions in Python and by SciPy.
#include "unlearn/evidence.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "tests/support/compare.h"
#include "unlearn/image_set.h"

namespace lethe::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

TEST(ImageSet, FourImagesToADigitTheFirstInItsHighestBit) {
    EXPECT_EQ(image_set({}), "");
    EXPECT_EQ(image_set({true}), "8");
    EXPECT_EQ(image_set({false, true, true, false, true}), "68");
    EXPECT_EQ(image_set(std::vector<bool>(9, true)), "ff8");
    EXPECT_THAT(members_of("68", 5), ElementsAre(false, true, true, false, true));
    EXPECT_THAT(members_of("", 0), IsEmpty());
}

TEST(ImageSet, WhatIsNoneOfThisSizeIsRefused) {
    EXPECT_THAT(error_of([] { members_of("6x", 5); }), HasSubstr("'x'"));
    for (const char* text : {"6", "688", "6c", "6F"})
        EXPECT_THAT(error_of([&] { members_of(text, 5); }), HasSubstr("set of images"));
}

TEST(Evidence, ProbabilityRankAndMargin) {
    // exp(z) / sum exp(z) by NumPy in double precision.
    const Tensor logits = Tensor::from_nchw({3, 3}, std::vector<float>{1, 3, 2, 0.5f, 0.5f, -1, 2, -1, 2});
    const std::vector<int64_t> labels{2, 1, 0};
    const std::vector<ImageView> views = views_of(logits, labels);
    ASSERT_EQ(views.size(), 3u);
    EXPECT_NEAR(views[0].probability, 0.24472847105479767, 1e-15);
    EXPECT_EQ(views[0].predicted, 1);
    EXPECT_EQ(views[0].rank, 2);
    EXPECT_EQ(views[0].margin, -1);
    // Of equal logits the first class is the prediction, the second ranks behind it.
    EXPECT_NEAR(views[1].probability, 0.4498162176582742, 1e-15);
    EXPECT_EQ(views[1].predicted, 0);
    EXPECT_EQ(views[1].rank, 2);
    EXPECT_EQ(views[1].margin, 0);
    EXPECT_NEAR(views[2].probability, 0.4878555511603684, 1e-15);
    EXPECT_EQ(views[2].rank, 1);
    EXPECT_EQ(recognised_set(views, labels), "2");  // the third alone
}

TEST(Evidence, ALogitThatIsNoNumberHasNoRank) {
    const Tensor logits = Tensor::from_nchw({1, 2}, std::vector<float>{1, std::numeric_limits<float>::quiet_NaN()});
    const ImageView view = views_of(logits, std::vector<int64_t>{0}).at(0);
    EXPECT_EQ(view.predicted, -1);
    EXPECT_EQ(view.rank, 0);
    EXPECT_TRUE(std::isnan(view.probability));
    EXPECT_TRUE(std::isnan(view.margin));
}

std::vector<StepTrace> trace_of(const std::vector<std::string>& sets) {
    std::vector<StepTrace> trace;
    for (const std::string& set : sets)
        trace.push_back({.step = static_cast<int64_t>(trace.size()) + 1, .recognised = set});
    return trace;
}

TEST(Evidence, WhenAnImageIsLost) {
    // Images 0, 1, 2 after steps 1 to 4: ++-, -+-, ++-, -+-
    const std::vector<StepTrace> trace = trace_of({"c", "4", "c", "4"});
    const Loss comes_back = loss_of(true, trace, 0, 3), stays = loss_of(true, trace, 1, 3),
               lost_at_once = loss_of(true, trace, 2, 3), wrong_before = loss_of(false, trace, 2, 3);
    EXPECT_EQ(comes_back.first, 2);
    EXPECT_EQ(comes_back.for_good, 4);
    EXPECT_EQ(stays.first, -1);
    EXPECT_EQ(stays.for_good, -1);
    EXPECT_EQ(lost_at_once.first, 1);
    EXPECT_EQ(lost_at_once.for_good, 1);
    EXPECT_EQ(wrong_before.first, 0);
    EXPECT_EQ(wrong_before.for_good, 0);
    const Loss learnt = loss_of(false, trace, 1, 3);  // wrong before, right ever since
    EXPECT_EQ(learnt.first, 0);
    EXPECT_EQ(learnt.for_good, -1);
    EXPECT_THAT(error_of([&] { loss_of(true, trace, 0, 9); }), HasSubstr("9 images"));
}

TEST(Evidence, ImagesThatChangeSides) {
    const Changes changes = changes_of({1, 4, 7}, {2, 4, 9, 11});
    EXPECT_THAT(changes.right_to_wrong, ElementsAre(2, 9, 11));
    EXPECT_THAT(changes.wrong_to_right, ElementsAre(1, 7));
}

Dataset named(const std::vector<int64_t>& labels) {
    Dataset data;
    data.class_names = {"cat", "dog"};
    data.labels = labels;
    return data;
}

TEST(Evidence, CollateralByClass) {
    const Dataset data = named({0, 1, 0, 1, 1});
    Evaluation before, after;
    before.wrong = {0, 1};
    after.wrong = {1, 2, 3, 4};
    before.accuracy = {3, 5};
    after.accuracy = {1, 5};
    const Json json = collateral_json({data, before, after}, {data, after, after});
    const Json& retain = json.at("retain");
    EXPECT_EQ(retain.at("right_to_wrong"), Json({2, 3, 4}));
    EXPECT_EQ(retain.at("wrong_to_right"), Json({0}));
    EXPECT_EQ(retain.at("per_class").at(0), Json({{"class", "cat"}, {"right_to_wrong", 1}, {"wrong_to_right", 1}}));
    EXPECT_EQ(retain.at("per_class").at(1), Json({{"class", "dog"}, {"right_to_wrong", 2}, {"wrong_to_right", 0}}));
    EXPECT_NEAR(retain.at("p_value").get<double>(), 0.625, 1e-12);  // 2 (1 + 4) / 16
    EXPECT_EQ(json.at("test").at("lost"), 0);
    EXPECT_EQ(json.at("test").at("p_value"), 1.0);
}

TEST(Evidence, ADossierTellsBeforeAndAfter) {
    const Dataset data = named({0, 1, 1});
    const std::vector<ImageView> before{{.predicted = 1, .probability = 0.75, .rank = 1, .margin = 2}},
        after{{.predicted = 0, .probability = 0.25, .rank = 2, .margin = -2}};
    const Json image = dossier_json(data, {2}, before, after, trace_of({"8", "0"})).at("images").at(0);
    EXPECT_EQ(image.at("index"), 2);
    EXPECT_EQ(image.at("label"), 1);
    EXPECT_EQ(image.at("class"), "dog");
    EXPECT_EQ(image.at("before").at("rank"), 1);
    EXPECT_EQ(image.at("after"), Json({{"predicted", 0}, {"probability", 0.25}, {"rank", 2}, {"margin", -2.0}}));
    EXPECT_EQ(image.at("first_lost"), 2);
    EXPECT_EQ(image.at("lost_for_good"), 2);
    const Json kept = dossier_json(data, {2}, before, before, trace_of({"8"})).at("images").at(0);
    EXPECT_TRUE(kept.at("first_lost").is_null());
    EXPECT_THAT(error_of([&] { dossier_json(data, {2, 1}, before, after, {}); }), HasSubstr("2 images"));
}

}  // namespace
}  // namespace lethe::test
