#include "data/split.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <set>

#include "data/file.h"
#include "tests/support/compare.h"

namespace lethe::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// `size` images without pixels; image i is of class i % 3, and there is no "train:toy".
Dataset toy(int64_t size) {
    Dataset data;
    data.class_names = {"cat", "dog", "bird:blue", "train:toy"};
    for (int64_t i = 0; i < size; ++i) data.labels.push_back(i % 3);
    return data;
}

std::string error_for(const std::string& text, int64_t size = 9) {
    return error_of([&] { select_forget_set(text, toy(size)); });
}

// Computed with torch.manual_seed(0); torch.randperm(50000)[:16].
TEST(Split, TorchRandpermIsPyTorchs) {
    EXPECT_THAT(select_forget_set("torch-randperm:0:16", toy(50'000)),
                ElementsAre(36044, 49165, 37807, 11341, 6091, 16904, 36293, 28026, 24681, 17849, 49031, 20152, 23932,
                            33744, 8628, 3486));
}

TEST(Split, RandomIsAPrefixOfItsStream) {
    const auto many = select_forget_set("random:7:64", toy(1000));
    const auto few = select_forget_set("random:7:16", toy(1000));
    EXPECT_TRUE(std::equal(few.begin(), few.end(), many.begin()));
    EXPECT_EQ(std::set<int64_t>(many.begin(), many.end()).size(), 64u);
    EXPECT_NE(select_forget_set("random:8:16", toy(1000)), few);
    auto all = select_forget_set("random:7:1000", toy(1000));
    std::sort(all.begin(), all.end());
    EXPECT_EQ(all.front(), 0);
    EXPECT_EQ(all.back(), 999);
    EXPECT_EQ(std::unique(all.begin(), all.end()), all.end());
}

TEST(Split, ClassTakesAllOrTheFirst) {
    EXPECT_THAT(select_forget_set("class:dog", toy(9)), ElementsAre(1, 4, 7));
    EXPECT_THAT(select_forget_set("class:dog:2", toy(9)), ElementsAre(1, 4));
    EXPECT_THAT(select_forget_set("class:bird:blue", toy(9)), ElementsAre(2, 5, 8));
    EXPECT_THAT(select_forget_set("class:bird:blue:1", toy(9)), ElementsAre(2));
}

TEST(Split, ClassErrors) {
    EXPECT_THAT(error_for("class:fish"), HasSubstr("unknown class 'fish'; known are cat, dog, bird:blue, train:toy"));
    EXPECT_THAT(error_for("class:fish:2"), HasSubstr("unknown class 'fish'"));
    EXPECT_THAT(error_for("class:"), HasSubstr("unknown class ''"));
    EXPECT_THAT(error_for("class:train:toy"), HasSubstr("no image of class train:toy"));
    EXPECT_THAT(error_for("class:cat:4"), HasSubstr("4 images are asked for, but class cat has only 3"));
    EXPECT_THAT(error_for("class:cat:0"), HasSubstr("at least 1"));
    EXPECT_THAT(error_for("class:cat:x"), HasSubstr("'x' is not a number"));
    EXPECT_THAT(error_for("class:cat:"), HasSubstr("'' is not a number"));
}

TEST(Split, CountsAndSeedsAreChecked) {
    for (const std::string form : {"torch-randperm", "random"}) {
        EXPECT_EQ(select_forget_set(form + ":0:9", toy(9)).size(), 9u);
        EXPECT_THAT(error_for(form + ":0:10"), HasSubstr("10 images are asked for, but the training set has only 9"));
        EXPECT_THAT(error_for(form + ":0:0"), HasSubstr("at least 1"));
        EXPECT_THAT(error_for(form + ":0:-3"), HasSubstr("at least 1"));
        EXPECT_THAT(error_for(form + ":0:1e3"), HasSubstr("'1e3' is not a number"));
        EXPECT_THAT(error_for(form + ":0:99999999999999999999"), HasSubstr("is not a number"));
        EXPECT_THAT(error_for(form + ":-1:2"), HasSubstr("the seed must be 0 to"));
        EXPECT_THAT(error_for(form + ":x:2"), HasSubstr("the seed must be 0 to"));
        EXPECT_THAT(error_for(form + ":5"), HasSubstr("SEED:K is needed"));
        EXPECT_THAT(error_for(form + ":0:1", 0), HasSubstr("has only 0"));
    }
    EXPECT_THAT(error_for("torch-randperm:4294967296:2"), HasSubstr("0 to 4294967295"));
}

TEST(Split, UnknownFormsNameTheKnownOnes) {
    for (const char* text : {"", "first:3", "random", "class", "indices", "torch-randperm", ":", "Random:1:2"})
        EXPECT_THAT(error_for(text), HasSubstr("unknown form; known are torch-randperm:SEED:K, random:SEED:K")) << text;
}

TEST(Split, IndicesKeepTheOrderOfTheFile) {
    const TemporaryFolder folder;
    write_text(folder.path("list"), "# chosen by hand\n 7\r\n\n0 # the first\n\t3");
    EXPECT_THAT(select_forget_set("indices:" + folder.path("list"), toy(9)), ElementsAre(7, 0, 3));
}

TEST(Split, IndexErrorsNameFileAndLine) {
    const TemporaryFolder folder;
    const std::string path = folder.path("list");
    const auto error = [&](const std::string& contents) {
        write_text(path, contents);
        return error_for("indices:" + path);
    };
    EXPECT_THAT(error("1\n2\n1\n"), HasSubstr(path + ":3: index 1 is there twice"));
    EXPECT_THAT(error("9\n"), HasSubstr(path + ":1: index 9 is outside the training set of 9 images"));
    EXPECT_THAT(error("-1\n"), HasSubstr("index -1 is outside"));
    EXPECT_THAT(error("1 2\n"), HasSubstr("'1 2' is not an image index"));
    EXPECT_THAT(error("four\n"), HasSubstr("'four' is not an image index"));
    EXPECT_THAT(error("# nothing\n"), HasSubstr("names no image"));
    EXPECT_THAT(error_for("indices:" + folder.path("absent")), HasSubstr("absent: cannot be read"));
}

TEST(Split, MisclassifiedAsksTheModel) {
    const auto wrong = [] { return std::vector<int64_t>{2, 5, 6}; };
    const auto none = [] { return std::vector<int64_t>{}; };
    EXPECT_THAT(select_forget_set("misclassified", toy(9), wrong), ElementsAre(2, 5, 6));
    EXPECT_THAT(select_forget_set("misclassified:2", toy(9), wrong), ElementsAre(2, 5));
    const auto error = [&](const std::string& text, const auto& model) {
        return error_of([&] { select_forget_set(text, toy(9), model); });
    };
    EXPECT_THAT(error("misclassified:4", wrong), HasSubstr("the set of misclassified images has only 3"));
    EXPECT_THAT(error("misclassified:0", wrong), HasSubstr("at least 1"));
    EXPECT_THAT(error("misclassified:", wrong), HasSubstr("'' is not a number"));
    EXPECT_THAT(error("misclassified", none), HasSubstr("classifies every image of the training set correctly"));
    EXPECT_THAT(error_for("misclassified"), HasSubstr("a model is needed"));
}

TEST(Split, MisclassifiedMayBeDrawn) {
    std::vector<int64_t> wrong(50);
    std::iota(wrong.begin(), wrong.end(), int64_t{100});
    const auto draw = [&](const std::string& text) { return select_forget_set(text, toy(200), [&] { return wrong; }); };
    const auto many = draw("misclassified:3:20"), few = draw("misclassified:3:5");
    EXPECT_TRUE(std::equal(few.begin(), few.end(), many.begin()));
    EXPECT_NE(draw("misclassified:4:5"), few);
    EXPECT_NE(few, draw("misclassified:5")) << "the first, not drawn";
    EXPECT_EQ(std::set<int64_t>(many.begin(), many.end()).size(), 20u);
    for (const int64_t image : many) EXPECT_TRUE(image >= 100 && image < 150) << image;
    EXPECT_THAT(error_of([&] { draw("misclassified:0:51"); }), HasSubstr("misclassified images has only 50"));
    EXPECT_THAT(error_of([&] { draw("misclassified:x:5"); }), HasSubstr("the seed must be"));
}

TEST(Split, ImagesAreListed) {
    EXPECT_THAT(select_forget_set("images:7,0,3", toy(9)), ElementsAre(7, 0, 3));
    EXPECT_EQ(images_expression({7, 0, 3}), "images:7,0,3");
    EXPECT_THAT(error_for("images:"), HasSubstr("'' is not an image index"));
    EXPECT_THAT(error_for("images:1,"), HasSubstr("'' is not an image index"));
    EXPECT_THAT(error_for("images:1,two"), HasSubstr("'two' is not an image index"));
    EXPECT_THAT(error_for("images:1,9"), HasSubstr("index 9 is outside the training set of 9 images"));
    EXPECT_THAT(error_for("images:1,1"), HasSubstr("index 1 is there twice"));
}

TEST(Split, TestImagesAreNamedAsSuch) {
    Dataset test = toy(9);
    test.split = Split::test;
    EXPECT_EQ(forget_split("test:images:1"), Split::test);
    EXPECT_EQ(forget_split("class:test:images"), Split::train);
    EXPECT_THAT(select_forget_set("test:images:4,2", test), ElementsAre(4, 2));
    EXPECT_THAT(select_forget_set("test:class:dog:2", test), ElementsAre(1, 4));
    EXPECT_EQ(select_forget_set("test:random:7:3", test), select_forget_set("random:7:3", test));
    EXPECT_THAT(select_forget_set("test:misclassified:1", test, [] { return std::vector<int64_t>{8}; }),
                ElementsAre(8));
    EXPECT_THAT(error_for("test:images:1"), HasSubstr("is of the test set, and train images"));
    EXPECT_THAT(error_of([&] { select_forget_set("test:random:0:10", test); }), HasSubstr("the test set has only 9"));
    EXPECT_THAT(error_of([&] { select_forget_set("test:test:random:0:1", test); }), HasSubstr("unknown form"));
}

TEST(Split, ComplementIsTheRestInOrder) {
    EXPECT_THAT(complement({4, 0}, 6), ElementsAre(1, 2, 3, 5));
    EXPECT_THAT(complement({}, 2), ElementsAre(0, 1));
    EXPECT_THAT(complement({1, 0}, 2), ElementsAre());
    EXPECT_THAT(error_of([] { complement({2}, 2); }), HasSubstr("index 2 is outside"));
}

}  // namespace
}  // namespace lethe::test
