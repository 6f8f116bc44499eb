#include "data/transform.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <numeric>

#include "tests/support/compare.h"
#include "tests/support/images.h"

namespace lethe::test {
namespace {

using testing::HasSubstr;

// Pixel (y, x) is y, x, 7.
ImageBytes coordinates(int64_t height, int64_t width) {
    ImageBytes image{height, width, {}};
    for (int64_t y = 0; y < height; ++y)
        for (int64_t x = 0; x < width; ++x)
            image.pixels.insert(image.pixels.end(), {static_cast<uint8_t>(y), static_cast<uint8_t>(x), 7});
    return image;
}

TEST(Transform, GivesThePixelsOfTorchvision) {
    for (const auto& [name, expected] : golden_images().below("transformed.")) {
        const std::size_t colon = name.find(':');
        const ImageBytes image = read_image(picture(name.substr(0, colon)));
        const Transform transform = parse_transform(name.substr(colon + 1));
        EXPECT_TRUE(same_pixels(apply(transform, image), expected)) << name;
        EXPECT_EQ(size_after(transform, image.height, image.width),
                  (std::array<int64_t, 2>{expected.dim(0), expected.dim(1)}));
    }
}

// A crop computes what it keeps: the same bytes as the crop of the whole.
TEST(Resize, WindowIsAPartOfTheWhole) {
    const ImageBytes image = read_image(picture("422.jpg"));
    for (const Interpolation filter : {Interpolation::bilinear, Interpolation::bicubic})
        for (const auto& [height, width] : {std::pair<int64_t, int64_t>{60, 59}, {113, 20}, {40, 37}, {140, 90}}) {
            const ImageBytes whole = resize(image, height, width, filter);
            const Window window{height / 3, width / 4, height - height / 3 - 1, width / 2 + 1};
            const ImageBytes part = resize(image, height, width, filter, window);
            for (int64_t y = 0; y < window.height; ++y)
                EXPECT_TRUE(std::equal(part.pixels.begin() + y * window.width * 3,
                                       part.pixels.begin() + (y + 1) * window.width * 3,
                                       whole.pixels.begin() + ((window.top + y) * width + window.left) * 3))
                    << height << "x" << width << ", row " << y;
        }
    EXPECT_THROW(resize(image, 5, 5, Interpolation::bilinear, {0, 1, 5, 5}), Error);
    EXPECT_THROW(resize(image, 0, 5, Interpolation::bilinear), Error);
}

// By hand: two pixels become one, the mean of 10 and 21 rounded; one becomes three; extremes do not overflow.
TEST(Resize, SmallestCases) {
    const ImageBytes two{1, 2, {10, 0, 255, 21, 0, 255}};
    EXPECT_EQ(resize(two, 1, 1, Interpolation::bilinear).pixels, (std::vector<uint8_t>{16, 0, 255}));
    EXPECT_EQ(resize({1, 1, {1, 2, 3}}, 1, 3, Interpolation::bicubic).pixels,
              (std::vector<uint8_t>{1, 2, 3, 1, 2, 3, 1, 2, 3}));
}

TEST(Transform, RandomCropsAreAddressed) {
    const ImageBytes image = coordinates(32, 40);
    const Transform transform = parse_transform("pad=4,random-crop=32,flip");
    const Random random(3, Purpose::augment);
    int mirrored = 0;
    for (const uint64_t item : {5u, 0u, 77u, 3u, 4u, 6u, 7u, 8u}) {
        const int64_t top = random.below(32 + 8 - 32 + 1, item, 0) - 4,
                      left = random.below(40 + 8 - 32 + 1, item, 1) - 4;
        const bool flip = random.uniform(item, 2) < 0.5f;
        mirrored += flip ? 1 : 0;
        const ImageBytes cropped = apply(transform, image, &random, item);
        ASSERT_EQ(cropped.pixels.size(), 32u * 32 * 3);
        for (int64_t y = 0; y < 32; ++y)
            for (int64_t x = 0; x < 32; ++x) {
                const int64_t from_y = top + y, from_x = left + (flip ? 31 - x : x);
                const bool inside = from_y >= 0 && from_y < 32 && from_x >= 0 && from_x < 40;
                const uint8_t* pixel = cropped.pixels.data() + (y * 32 + x) * 3;
                ASSERT_EQ(pixel[0], inside ? from_y : 0) << item << ": " << y << ' ' << x;
                ASSERT_EQ(pixel[1], inside ? from_x : 0);
                ASSERT_EQ(pixel[2], inside ? 7 : 0);
            }
    }
    EXPECT_GT(mirrored, 0);
    EXPECT_LT(mirrored, 8);
    EXPECT_EQ(apply(transform, image).pixels, apply(parse_transform("pad=4,crop=32"), image).pixels);
    EXPECT_THAT(error_of([&] { apply(parse_transform("random-crop=33"), image, &random); }),
                HasSubstr("a random crop of 33x33 pixels from an image of 40x32"));
}

// The definition, followed by hand: which draw is the first to fit, and where it lies.
TEST(Transform, RandomRectanglesAreTorchvisions) {
    const Random random(11, Purpose::augment);
    constexpr int64_t height = 40, width = 50;
    int later = 0;
    double shares = 0;
    constexpr int items = 2000;
    for (uint64_t item = 0; item < items; ++item) {
        const Window window = draw_rectangle(height, width, random, item);
        ASSERT_TRUE(window.top >= 0 && window.left >= 0 && window.top + window.height <= height &&
                    window.left + window.width <= width);
        uint32_t draw = 0;
        int64_t h = 0, w = 0;
        for (;; ++draw) {
            ASSERT_LT(draw, 10u) << "such an image never needs the fallback";
            const double area = height * width * (0.08 + 0.92 * double{random.uniform(item, 3 + 2 * draw)});
            const double ratio = 0.75 * std::pow(16.0 / 9.0, double{random.uniform(item, 4 + 2 * draw)});
            w = std::llround(std::sqrt(area * ratio));
            h = std::llround(std::sqrt(area / ratio));
            if (w <= width && h <= height) break;
        }
        later += draw > 0 ? 1 : 0;
        ASSERT_EQ(window.height, h) << item;
        ASSERT_EQ(window.width, w) << item;
        ASSERT_EQ(window.top, random.below(height - h + 1, item, 0));
        ASSERT_EQ(window.left, random.below(width - w + 1, item, 1));
        shares += static_cast<double>(h * w) / (height * width) / items;
    }
    EXPECT_NEAR(later, 0.193 * items, 71) << "first draws that are higher than the image";
    EXPECT_NEAR(shares, 0.462, 0.021);  // of 200,000 such draws with NumPy, four standard errors
}

// No rectangle of 8 % of these areas fits: the middle, as wide or high as 4:3 or 3:4 allow.
TEST(Transform, RandomRectanglesOfNarrowImagesLieInTheMiddle) {
    const Random random(0, Purpose::augment);
    const auto draw = [&](int64_t height, int64_t width) {
        const Window window = draw_rectangle(height, width, random, 5);
        return std::array{window.top, window.left, window.height, window.width};
    };
    EXPECT_EQ(draw(10, 1000), (std::array<int64_t, 4>{0, 493, 10, 13}));
    EXPECT_EQ(draw(1000, 10), (std::array<int64_t, 4>{493, 0, 13, 10}));
    EXPECT_EQ(draw(1, 60000), (std::array<int64_t, 4>{0, 29999, 1, 1}));
}

TEST(Transform, RandomResizedCropsAreTheRectangleResized) {
    const ImageBytes image = read_image(picture("422.jpg"));
    const Random random(3, Purpose::augment);
    const Transform transform = parse_transform("resize=40,random-resized-crop=24,flip");
    int mirrored = 0;
    for (uint64_t item = 0; item < 12; ++item) {
        const Window window = draw_rectangle(image.height, image.width, random, item);
        ImageBytes part{window.height, window.width, {}};
        for (int64_t y = 0; y < window.height; ++y)
            for (int64_t i = 0; i < window.width * 3; ++i)
                part.pixels.push_back(
                    image.pixels[static_cast<std::size_t>(((window.top + y) * image.width + window.left) * 3 + i)]);
        const ImageBytes expected = resize(part, 24, 24, Interpolation::bilinear);
        const ImageBytes actual = apply(transform, image, &random, item);
        const bool flip = random.uniform(item, 2) < 0.5f;
        mirrored += flip ? 1 : 0;
        ASSERT_EQ(actual.pixels.size(), 24u * 24 * 3);
        for (std::size_t y = 0; y < 24; ++y)
            for (std::size_t x = 0; x < 24; ++x)
                for (std::size_t c = 0; c < 3; ++c)
                    ASSERT_EQ(actual.pixels[(y * 24 + x) * 3 + c],
                              expected.pixels[(y * 24 + (flip ? 23 - x : x)) * 3 + c]);
    }
    EXPECT_GT(mirrored, 0);
    EXPECT_LT(mirrored, 12);
    EXPECT_EQ(apply(transform, image).pixels, apply(parse_transform("resize=40,crop=24"), image).pixels);
}

TEST(Transform, TextsAreReadAndWritten) {
    Transform transform;
    EXPECT_EQ(parse_transform("none"), transform);
    EXPECT_EQ(describe(transform), "none");
    transform.resize = 256;
    transform.crop = 224;
    EXPECT_EQ(parse_transform("imagenet"), transform);
    EXPECT_EQ(parse_transform("crop=224,resize=256"), transform);
    EXPECT_EQ(describe(transform), "resize=256,bilinear,crop=224");
    transform.interpolation = Interpolation::bicubic;
    EXPECT_EQ(describe(transform), "resize=256,bicubic,crop=224");
    for (const char* text : {"resize=224x200,bilinear", "resize=9,bicubic,pad=2,random-crop=7,flip", "flip", "crop=5",
                             "resize=9,bilinear,random-resized-crop=7"})
        EXPECT_EQ(describe(parse_transform(text)), text);
    for (const TransformPreset& preset : transform_presets())
        EXPECT_EQ(describe(parse_transform(preset.name)), preset.text);
}

TEST(Transform, SaysWhatIsWrong) {
    const auto problem = [](const char* text) { return error_of([&] { parse_transform(text); }); };
    EXPECT_THAT(problem("resize"), HasSubstr("\"resize\" is not a step; resize=N"));
    EXPECT_THAT(problem(""), HasSubstr("\"\" is not a step"));
    EXPECT_THAT(problem("crop=5,"), HasSubstr("\"\" is not a step"));
    EXPECT_THAT(problem("rotate=5"), HasSubstr("\"rotate\""));
    for (const char* text :
         {"crop=", "crop=-1", "crop=0", "crop=5 ", "resize=3x", "resize=3x4x5", "pad=99999999999999999999"})
        EXPECT_THAT(problem(text), HasSubstr("from 1 to 65536")) << text;
    EXPECT_THAT(problem("crop=5,random-crop=5"), HasSubstr("one is enough"));
    EXPECT_THAT(problem("random-resized-crop=5,random-crop=5"), HasSubstr("one is enough"));
    EXPECT_THAT(problem("imagnet"), HasSubstr("presets imagenet, vit"));
    for (const char* text : {"resize=5,resize=5x5", "crop=5,crop=6", "bicubic,bilinear", "flip,flip"})
        EXPECT_THAT(problem(text), HasSubstr("twice; once is enough")) << text;
    EXPECT_THAT(error_of([] { size_after(parse_transform("resize=9000"), 1, 1000000); }), HasSubstr("at most 2^26"));
}

}  // namespace
}  // namespace lethe::test
