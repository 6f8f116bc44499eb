// What a weight file's manifest says of the model, and whoever contradicts it.
#include "unlearn/manifest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/compare.h"

namespace lethe::test {
namespace {

using testing::HasSubstr;

ModelSpec sample() {
    ModelSpec spec{.arch = "resnet18", .classes = 7, .stem = "cifar", .image_size = 64, .naming = "l2ul-cifar100"};
    set_normalization(spec, "cifar100");
    spec.transform = "resize=73,bilinear,random-resized-crop=64,flip";
    return spec;
}

void expect_equal(const ModelSpec& actual, const ModelSpec& expected) {
    EXPECT_EQ(actual.arch, expected.arch);
    EXPECT_EQ(actual.classes, expected.classes);
    EXPECT_EQ(actual.stem, expected.stem);
    EXPECT_EQ(actual.image_size, expected.image_size);
    EXPECT_EQ(actual.naming, expected.naming);
    EXPECT_EQ(actual.transform, expected.transform);
    EXPECT_EQ(actual.mean, expected.mean);  // every bit: the text has nine digits
    EXPECT_EQ(actual.std, expected.std);
}

TEST(Manifest, SaysHowToBuildTheModelAgain) {
    expect_equal(agreed_spec("f", manifest_of(sample()), {}), sample());
    expect_equal(agreed_spec("f", manifest_of(sample()), {"resnet18", "cifar", 7, 64, "cifar100"}), sample());
}

TEST(Manifest, WithoutOneTheOptionsDecide) {
    ModelSpec expected = sample();
    expected.naming = expected.transform = "";
    expect_equal(agreed_spec("f", {{"format", "pt"}}, {"resnet18", "cifar", 7, 64, "cifar100"}), expected);
    EXPECT_EQ(error_of([] { agreed_spec("f", {}, {}); }), "f does not say which architecture it is for; give --model");
}

TEST(Manifest, APartOfOneIsCompletedByOptions) {
    GivenModel given;
    given.arch = "resnet20";
    const ModelSpec spec =
        agreed_spec("f", {{"lethe.classes", "3"}, {"lethe.mean", "0,0,0"}, {"lethe.std", "1,1,2"}}, given);
    EXPECT_EQ(spec.arch, "resnet20");
    EXPECT_EQ(spec.classes, 3);
    EXPECT_EQ(spec.std, (std::vector<float>{1, 1, 2}));
}

TEST(Manifest, ContradictionsAreRefused) {
    const auto refusal = [](void (*say)(GivenModel&)) {
        GivenModel given;
        say(given);
        return error_of([&] { agreed_spec("f", manifest_of(sample()), given); });
    };
    EXPECT_THAT(refusal([](GivenModel& given) { given.arch = "resnet34"; }),
                HasSubstr("f: its manifest says model resnet18, not resnet34 (--model)"));
    EXPECT_THAT(refusal([](GivenModel& given) { given.stem = "imagenet"; }),
                HasSubstr("f: its manifest says stem cifar, not imagenet (--stem)"));
    EXPECT_THAT(refusal([](GivenModel& given) { given.classes = 10; }),
                HasSubstr("f: its manifest says classes 7, not 10 (--classes)"));
    EXPECT_THAT(refusal([](GivenModel& given) { given.image_size = 32; }),
                HasSubstr("f: its manifest says image size 64, not 32 (--image-size)"));
    EXPECT_THAT(refusal([](GivenModel& given) { given.normalize = "imagenet"; }),
                HasSubstr("not imagenet (--normalize)"));
}

TEST(Manifest, NonsenseIsRefused) {
    const auto refusal = [](const std::string& key, const std::string& value) {
        Metadata metadata = manifest_of(sample());
        metadata[key] = value;
        return error_of([&] { agreed_spec("f", metadata, {}); });
    };
    for (const char* value : {"seven", "7x", "-7", "99999999999999999999"})
        EXPECT_THAT(refusal("lethe.classes", value), HasSubstr("f: its manifest says lethe.classes = '" +
                                                               std::string(value) + "', which is not a number"));
    EXPECT_THAT(refusal("lethe.mean", "1,2"), HasSubstr("f: its manifest does not hold a normalisation"));
    EXPECT_THAT(refusal("lethe.std", "1,1,0"), HasSubstr("f: its manifest does not hold a normalisation"));
}

}  // namespace
}  // namespace lethe::test
