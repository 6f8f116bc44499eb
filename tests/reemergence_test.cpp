// Re-emergence. Views are compared with pixels worked out by hand; the bilinear ones with torch.nn.functional.
// interpolate(mode="bilinear", align_corners=False).
#include "unlearn/metrics/reemergence.h"

#include <gmock/gmock.h>

#include <cmath>
#include <set>

#include "data/image_file.h"
#include "tensor/parallel.h"
#include "tests/support/compare.h"
#include "tests/support/tiny.h"

namespace lethe::test {
namespace {

using testing::HasSubstr;

// [1,3,h,w]; every channel is 0, 1, 2, ... / (h w), row by row.
Tensor ramp(int64_t h, int64_t w) {
    std::vector<float> values;
    for (int c = 0; c < 3; ++c)
        for (int64_t i = 0; i < h * w; ++i) values.push_back(static_cast<float>(i) / static_cast<float>(h * w));
    return Tensor::from_nchw({1, 3, h, w}, values);
}

float at(const Tensor& image, int64_t y, int64_t x) { return image.data()[(y * image.dim(3) + x) * 3]; }

const std::vector<uint64_t> one_item{5};

TEST(Views, FlipMirrorsLeftToRight) {
    const Tensor in = ramp(4, 5), out = view_of("flip", in, one_item, 0, {});
    for (int64_t y = 0; y < 4; ++y)
        for (int64_t x = 0; x < 5; ++x) EXPECT_EQ(at(out, y, x), at(in, y, 4 - x));
}

// Every draw is one of the 48 shifts, never none; what comes in is 0 or the mirror image without the edge itself.
TEST(Views, ShiftsMoveByOneOf48Offsets) {
    const int64_t side = 7;
    const Tensor in = ramp(side, side);
    std::set<std::pair<int64_t, int64_t>> seen;
    for (int64_t draw = 0; draw < 256; ++draw) {
        const Tensor zero = view_of("shift-zero", in, one_item, draw, {});
        int matches = 0;
        for (int64_t dy = -3; dy <= 3; ++dy)
            for (int64_t dx = -3; dx <= 3; ++dx) {
                bool same = true;
                for (int64_t y = 0; y < side; ++y)
                    for (int64_t x = 0; x < side; ++x) {
                        const bool inside = y - dy >= 0 && y - dy < side && x - dx >= 0 && x - dx < side;
                        same = same && at(zero, y, x) == (inside ? at(in, y - dy, x - dx) : 0.0f);
                    }
                if (!same) continue;
                ++matches;
                seen.insert({dy, dx});
            }
        EXPECT_EQ(matches, 1);
    }
    EXPECT_EQ(seen.count({0, 0}), 0u);
    EXPECT_GT(seen.size(), 40u);  // 256 draws of 48

    bool mirrored = false;  // moved down by one: row 0 is row 1 of the image, not row 0 again
    for (int64_t draw = 0; draw < 256 && !mirrored; ++draw) {
        const Tensor out = view_of("shift-reflect", in, one_item, draw, {});
        mirrored = at(out, 1, 3) == at(in, 0, 3) && at(out, 0, 3) == at(in, 1, 3) && at(out, 2, 0) == at(in, 1, 0);
    }
    EXPECT_TRUE(mirrored);
}

// The upper left 2x2 window (0, 1; 2, 4) of a 4x4 image comes out as PyTorch enlarges it.
TEST(Views, CropIsResizedAsPyTorchDoes) {
    std::vector<float> values(48, 0.0f);
    for (std::size_t c = 0; c < 3; ++c) {
        values[16 * c + 1] = 0.1f;
        values[16 * c + 4] = 0.2f;
        values[16 * c + 5] = 0.4f;
    }
    const Tensor in = Tensor::from_nchw({1, 3, 4, 4}, values);
    const std::vector<float> expected{0.00f, 0.025f,   0.075f,   0.100f, 0.05f, 0.08125f, 0.14375f, 0.175f,
                                      0.15f, 0.19375f, 0.28125f, 0.325f, 0.20f, 0.25f,    0.35f,    0.400f};
    int found = 0;  // one of the nine windows
    for (int64_t draw = 0; draw < 256; ++draw) {
        const std::vector<float> out = view_of("crop", in, one_item, draw, {.crop = 0.5f}).to_nchw();
        if (close(std::span(out).first(16), std::span<const float>(expected), elementwise)) ++found;
    }
    EXPECT_GT(found, 10);
    EXPECT_LT(found, 60);
}

TEST(Views, NoiseHasItsDeviationAndStaysInTheBox) {
    const Tensor grey = Tensor::full({1, 3, 64, 64}, 0.5f), out = view_of("noise", grey, one_item, 0, {});
    double sum = 0, squares = 0;
    for (const float value : out.values()) {
        sum += static_cast<double>(value) - 0.5;
        squares += (static_cast<double>(value) - 0.5) * (static_cast<double>(value) - 0.5);
    }
    const auto n = static_cast<double>(out.numel());  // 12288: the standard errors are 0.00027 and 0.6 %
    EXPECT_NEAR(sum / n, 0, 0.0014);
    EXPECT_NEAR(std::sqrt(squares / n), 0.03, 0.03 * 0.032);
    const Tensor black = view_of("noise", Tensor::zeros({1, 3, 64, 64}), one_item, 0, {});
    for (const float value : black.values()) EXPECT_GE(value, 0.0f);
}

TEST(Views, BrightnessIsAddedAndClamped) {
    const Tensor in = ramp(4, 4);
    const Tensor up = view_of("brighter", in, one_item, 0, {}), down = view_of("darker", in, one_item, 0, {});
    for (int64_t i = 0; i < in.numel(); ++i) {
        EXPECT_FLOAT_EQ(up.data()[i], std::min(1.0f, in.data()[i] + 0.1f));
        EXPECT_FLOAT_EQ(down.data()[i], std::max(0.0f, in.data()[i] - 0.1f));
    }
}

TEST(Views, RoundingIsToTheNearestByte) {
    const Tensor in = Tensor::full({1, 3, 4, 4}, 100.6f / 255.0f), out = view_of("round8", in, one_item, 0, {});
    for (const float value : out.values()) EXPECT_EQ(value, 101.0f / 255.0f);
}

// A flat grey block survives JPEG; a stronger quantisation loses more of a picture.
TEST(Views, JpegLosesMoreAtLowerQuality) {
    const Tensor grey = Tensor::full({1, 3, 16, 16}, 128.0f / 255.0f);
    EXPECT_TRUE(identical(view_of("jpeg50", grey, one_item, 0, {}), grey));
    const Tensor in = tiny_images(1);
    const auto distance = [&](const char* view) {
        const Tensor out = view_of(view, in, one_item, 0, {});
        double sum = 0;
        for (int64_t i = 0; i < in.numel(); ++i) sum += static_cast<double>(std::abs(out.data()[i] - in.data()[i]));
        return sum;
    };
    EXPECT_GT(distance("jpeg75"), 0);
    EXPECT_GT(distance("jpeg50"), distance("jpeg75"));
}

TEST(Views, TheWeakViewIsFlipShiftAndNoise) {
    const Tensor in = ramp(8, 8);
    bool whole = false, mirrored = false;
    for (int64_t draw = 0; draw < 256; ++draw) {
        const Tensor out = view_of("weak", in, one_item, draw, {.noise = 0});
        const float step = at(out, 4, 5) - at(out, 4, 4);  // the ramp rises by 1/64 per column, falls when mirrored
        whole = whole || std::abs(step - 1.0f / 64) < 1e-6f;
        mirrored = mirrored || std::abs(step + 1.0f / 64) < 1e-6f;
    }
    EXPECT_TRUE(whole && mirrored);
}

// An image's views depend on its item, the draw and the seed, not on the images beside it.
TEST(Views, RandomNumbersAreAddressed) {
    const Tensor images = tiny_images(3);
    const std::vector<uint64_t> items{8, 3, 9}, second{3};
    for (const char* view : {"shift-zero", "crop", "noise", "weak"}) {
        const Tensor all = view_of(view, images, items, 2, {});
        EXPECT_TRUE(identical(all.rows(1, 2), view_of(view, images.rows(1, 2), second, 2, {}))) << view;
        EXPECT_FALSE(identical(all, view_of(view, images, items, 3, {}))) << view;
        EXPECT_FALSE(identical(all, view_of(view, images, items, 2, {.seed = 1}))) << view;
    }
}

TEST(Views, RefuseWhatIsWrong) {
    EXPECT_THAT(error_of([] { view_of("blur", ramp(4, 4), one_item, 0, {}); }), HasSubstr("shift-reflect"));
    EXPECT_THAT(error_of([] { view_of("flip", ramp(3, 9), one_item, 0, {}); }), HasSubstr("3x9"));
    EXPECT_THAT(error_of([] { view_of("flip", ramp(4, 4), {}, 0, {}); }), HasSubstr("0 items"));
    EXPECT_THAT(error_of([] { ViewOptions{.draws = 0}.validate(); }), HasSubstr("draws"));
    EXPECT_THAT(error_of([] { ViewOptions{.noise = -1}.validate(); }), HasSubstr("noise"));
}

TEST(Jpeg, RefusesPixelsThatDoNotFit) {
    const std::vector<uint8_t> pixels(12);
    EXPECT_THAT(error_of([&] { encode_jpeg(2, 3, pixels, 75); }), HasSubstr("2x3"));
    EXPECT_THAT(error_of([&] { encode_jpeg(2, 2, pixels, 0); }), HasSubstr("quality"));
    EXPECT_THAT(error_of([&] { encode_jpeg(0, 2, {}, 75); }), HasSubstr("0x2"));
}

// With the labels the model gives now every image is recognised as it is, and the counts are those of the views looked
// at one by one.
TEST(Reemergence, CountsTheViewsOneByOne) {
    const auto model = tiny_model();
    const auto twin = fold_batchnorm(*model);
    const Tensor images = tiny_images(6);
    const std::vector<int64_t> labels = predictions(*model, images);
    const std::vector<uint64_t> items{0, 1, 2, 3, 4, 5};
    const ViewOptions options{.draws = 3, .noise = 0.3f};
    const Reemergence result = reemergence(*twin, images, labels, items, options);
    EXPECT_EQ(result.unchanged.correct, 6);
    ASSERT_EQ(result.views.size(), views().size());
    double mean = 0;
    int missed = 0, counted = 0;
    for (std::size_t v = 0; v < views().size(); ++v) {
        const ViewShare& share = result.views[v];
        int64_t hits = 0;
        const int64_t draws = views()[v].random ? 3 : 1;
        for (int64_t draw = 0; draw < draws; ++draw) {
            const std::vector<int64_t> now =
                predictions(*model, view_of(views()[v].name, images, items, draw, options));
            for (std::size_t i = 0; i < labels.size(); ++i) hits += now[i] == labels[i] ? 1 : 0;
        }
        EXPECT_EQ(share.view, views()[v].name);
        EXPECT_EQ(share.old_label.correct, hits) << share.view;
        EXPECT_EQ(share.old_label.total, 6 * draws);
        EXPECT_TRUE(share.changes) << share.view;
        missed += static_cast<int>(share.old_label.total - hits);
        mean += share.old_label.percent() / 100;
        ++counted;
    }
    EXPECT_GT(missed, 0) << "nothing was tested: every view is given the old label";
    EXPECT_NEAR(result.mean, mean / counted, 1e-12);
    double per_image = 0;
    for (const double share : result.per_image) per_image += share / 6;
    EXPECT_NEAR(result.mean, per_image, 1e-12);
}

// Images of bytes are not changed by rounding, which then says nothing and is left out of the mean.
TEST(Reemergence, AViewThatChangesNothingIsNotCounted) {
    const auto model = tiny_model();
    const Tensor images = view_of("round8", tiny_images(1), one_item, 0, {});
    const Reemergence result =
        reemergence(*fold_batchnorm(*model), images, predictions(*model, images), one_item, {.draws = 2});
    double mean = 0;
    int counted = 0;
    for (const ViewShare& share : result.views) {
        EXPECT_EQ(share.changes, share.view != "round8");
        if (!share.changes) continue;
        mean += share.old_label.percent() / 100;
        ++counted;
    }
    EXPECT_EQ(counted, 10);
    EXPECT_NEAR(result.mean, mean / 10, 1e-12);
}

TEST(Reemergence, IsTheSameForAnyNumberOfThreads) {
    const auto model = tiny_model();
    const auto twin = fold_batchnorm(*model);
    const Tensor images = tiny_images(20);
    const std::vector<int64_t> labels = predictions(*model, images);
    std::vector<uint64_t> items(20);
    for (std::size_t i = 0; i < items.size(); ++i) items[i] = 100 + i;
    std::vector<double> per_image[2];
    for (const int count : {1, 3}) {
        set_threads(count);
        per_image[count / 2] = reemergence(*twin, images, labels, items, {.noise = 0.2f}).per_image;
    }
    set_threads(0);
    EXPECT_EQ(per_image[0], per_image[1]);
}

// What stands in tables is the default suite's mean in per cent; images that it cannot shift have none.
TEST(Reemergence, InTablesIsThatOfTheDefaultSuite) {
    const auto model = tiny_model();
    const auto twin = fold_batchnorm(*model);
    const Tensor images = tiny_images(4);
    const std::vector<int64_t> labels = predictions(*model, images), indices{5, 2, 9, 7};
    const double expected = reemergence(*twin, images, labels, std::vector<uint64_t>{5, 2, 9, 7}).mean;
    EXPECT_GT(expected, 0);
    EXPECT_EQ(usual_reemergence(*twin, images, labels, indices), 100 * expected);
    EXPECT_TRUE(std::isnan(usual_reemergence(*twin, Tensor::zeros({4, 3, 3, 9}), labels, indices)));
}

TEST(Reemergence, RefusesNothing) {
    const auto twin = fold_batchnorm(*tiny_model());
    EXPECT_THAT(error_of([&] { reemergence(*twin, {}, {}, {}); }), HasSubstr("no images"));
    EXPECT_THAT(error_of([&] { reemergence(*twin, tiny_images(2), std::vector<int64_t>{0}, {}); }),
                HasSubstr("labels"));
}

}  // namespace
}  // namespace lethe::test
