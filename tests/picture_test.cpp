#include "data/picture.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <limits>

#include "data/file.h"
#include "data/font.h"
#include "data/image_file.h"
#include "tests/support/compare.h"

namespace lethe::test {
namespace {

using testing::HasSubstr;

constexpr Colour white{255, 255, 255}, black{0, 0, 0}, red{200, 10, 20};

int count_colour(const ImageBytes& image, Colour colour, int64_t left = 0, int64_t right = 1 << 20) {
    int count = 0;
    for (int64_t y = 0; y < image.height; ++y)
        for (int64_t x = left; x < std::min(right, image.width); ++x) {
            const uint8_t* pixel = image.pixels.data() + (y * image.width + x) * 3;
            count += Colour{pixel[0], pixel[1], pixel[2]} == colour ? 1 : 0;
        }
    return count;
}

TEST(Canvas, RectanglesAreClipped) {
    Canvas canvas(10, 8);
    canvas.rectangle(-5, 6, 8, 100, red);
    canvas.set(9, 0, black);
    canvas.set(10, 0, black);
    canvas.set(0, -1, black);
    for (int y = 0; y < 8; ++y)
        for (int x = 0; x < 10; ++x)
            EXPECT_EQ(canvas.pixel(x, y), (x == 9 && y == 0)  ? black
                                          : (x < 3 && y >= 6) ? red
                                                              : white)
                << x << ' ' << y;
    EXPECT_THROW(canvas.pixel(10, 0), Error);
    EXPECT_THROW(Canvas(0, 5), Error);
    EXPECT_THROW(Canvas(5, 1 << 20), Error);
}

// A horizontal line of thickness 2 at y = 5 covers rows 4.0 to 6.0 of pixel-centre coordinates: row 5 whole, 4 and 6
// by half.
TEST(Canvas, LinesAreAntialiased) {
    Canvas canvas(20, 12);
    canvas.line(3, 5, 16, 5, black, 2);
    EXPECT_EQ(canvas.pixel(10, 5), black);
    EXPECT_EQ(canvas.pixel(10, 4), (Colour{128, 128, 128}));
    EXPECT_EQ(canvas.pixel(10, 6), (Colour{128, 128, 128}));
    EXPECT_EQ(canvas.pixel(10, 3), white);
    EXPECT_EQ(canvas.pixel(0, 5), white);
    canvas.line(-1e9, -50, 1e9, -50, black);
    canvas.line(std::numeric_limits<double>::quiet_NaN(), 0, 5, 5, black);
    EXPECT_EQ(canvas.pixel(10, 0), white);
}

TEST(Canvas, JointsAreNotDrawnTwice) {
    Canvas once(20, 12), twice(20, 12);
    once.polyline({{2, 5}, {17, 5}}, black, 2);
    twice.polyline({{2, 5}, {9, 5}, {17, 5}}, black, 2);
    for (int x = 0; x < 20; ++x) EXPECT_EQ(once.pixel(x, 4), twice.pixel(x, 4)) << x;
    once.polyline({}, black);
}

TEST(Canvas, TextMarksItsBoxOnly) {
    const std::string text = "Hg|%";
    const int width = Canvas::text_width(text, 2);
    Canvas canvas(width + 20, 40);
    canvas.text(10, 10, text, black, 2);
    int inked = 0;
    for (int y = 0; y < canvas.height(); ++y)
        for (int x = 0; x < canvas.width(); ++x) {
            const bool inside = x >= 9 && x <= 10 + width && y >= 9 && y <= 10 + 19;
            EXPECT_TRUE(inside || canvas.pixel(x, y) == white) << x << ' ' << y;
            inked += canvas.pixel(x, y) == white ? 0 : 1;
        }
    EXPECT_GT(inked, 100);
    EXPECT_EQ(canvas.pixel(10, 17), black);  // the left stem of the H
    EXPECT_EQ(Canvas::text_width("", 3), 0);
    EXPECT_EQ(Canvas::text_width("HH"), 12);  // 4 units, a gap of 3, 4 units, and the thickness of the last stem
}

TEST(Font, EveryPrintableCharacterIsDrawnDifferently) {
    std::vector<std::vector<std::pair<int, int>>> seen;
    for (char c = '!'; c <= '~'; ++c) {
        std::vector<std::pair<int, int>> points;
        for (const Stroke& stroke : glyph(c).strokes) {
            points.emplace_back(-1, -1);
            for (const StrokePoint& point : stroke) {
                EXPECT_TRUE(point.x >= 0 && point.x <= 6 && point.y >= 0 && point.y <= 9) << c;
                points.emplace_back(point.x, point.y);
            }
        }
        EXPECT_GE(points.size(), 2u) << c;
        EXPECT_THAT(seen, testing::Not(testing::Contains(points))) << c;
        seen.push_back(points);
    }
    EXPECT_EQ(ascii_text("\xCE\xBB = 1 \xE2\x86\x92 x"), "? = 1 ? x");
}

TEST(Canvas, ImagesAreEnlargedAndClamped) {
    // One image of 1x2 pixels: the left one red, the right one beyond the range.
    const float nan = std::numeric_limits<float>::quiet_NaN();
    const Tensor images = Tensor::from_nchw({1, 3, 1, 2}, std::vector<float>{1, 2, 0, -1, 0.5f, nan});
    Canvas canvas(10, 6);
    canvas.image(1, 1, images, 0, 3);
    for (int y = 1; y < 4; ++y) {
        for (int x = 1; x < 4; ++x) EXPECT_EQ(canvas.pixel(x, y), (Colour{255, 0, 128}));
        for (int x = 4; x < 7; ++x) EXPECT_EQ(canvas.pixel(x, y), (Colour{255, 0, 0}));
    }
    EXPECT_EQ(canvas.pixel(7, 1), white);
    EXPECT_EQ(canvas.pixel(1, 4), white);
    EXPECT_THROW(canvas.image(0, 0, images, 1, 1), Error);
    EXPECT_THROW(canvas.image(0, 0, images, 0, 0), Error);
    EXPECT_THROW(canvas.image(0, 0, Tensor::zeros({1, 1, 2, 2}), 0, 1), Error);
}

TEST(Png, DecodesToTheSamePixels) {
    const TemporaryFolder folder;
    Canvas canvas(37, 23, {1, 2, 3});
    canvas.line(2, 2, 30, 20, red, 3);
    canvas.text(3, 8, "png", white);
    canvas.write_png(folder.path("a.png"));
    const ImageBytes image = read_image(folder.path("a.png"));
    ASSERT_EQ(image.width, 37);
    ASSERT_EQ(image.height, 23);
    for (int y = 0; y < 23; ++y)
        for (int x = 0; x < 37; ++x) {
            const uint8_t* pixel = image.pixels.data() + (y * 37 + x) * 3;
            EXPECT_EQ((Colour{pixel[0], pixel[1], pixel[2]}), canvas.pixel(x, y));
        }
    EXPECT_THROW(canvas.write_png(folder.path("none/a.png")), Error);
    EXPECT_THROW(encode_png(2, 2, std::vector<uint8_t>(11)), Error);
}

TEST(Sheet, ShowsEveryImageAtItsSize) {
    const TemporaryFolder folder;
    Tensor images = Tensor::zeros({2, 3, 4, 4});
    std::fill_n(images.mutable_data(), 48, 0.2f);       // image 0: (51, 51, 51)
    std::fill_n(images.mutable_data() + 48, 48, 0.6f);  // image 1: (153, 153, 153)
    Sheet sheet;
    sheet.title = "title";
    sheet.column_titles = {"one", "two"};
    sheet.rows = {{{images, 0, "cat\n-> dog", red}, {images, 1, ""}}, {{images, 1, "x"}}};
    write_sheet(folder.path("sheet.png"), sheet, 5);
    const ImageBytes picture = read_image(folder.path("sheet.png"));
    EXPECT_EQ(count_colour(picture, {51, 51, 51}), 400);
    EXPECT_EQ(count_colour(picture, {153, 153, 153}), 800);
    EXPECT_GT(count_colour(picture, red), 10);
    sheet.rows[0][0].images = Tensor();
    EXPECT_THAT(error_of([&] { write_sheet(folder.path("b.png"), sheet); }), HasSubstr("has no image"));
    EXPECT_FALSE(std::filesystem::exists(folder.path("b.png")));
}

TEST(Chart, DrawsCurvesInTheirColours) {
    const TemporaryFolder folder;
    const double nan = std::numeric_limits<double>::quiet_NaN();
    Chart chart{"t", "x", "y", {{"level", {0, 1, 2}, {5, 5, 5}}, {"broken", {0.5, 1, 1.5}, {1, nan, 9}}}};
    write_chart(folder.path("a.png"), {chart}, 600, 200);
    const ImageBytes picture = read_image(folder.path("a.png"));
    EXPECT_EQ(picture.width, 600);
    EXPECT_EQ(picture.height, 200);
    // The level curve runs over the whole plot; the other is two dots, each 5 pixels wide with a softened rim.
    EXPECT_GT(count_colour(picture, {0, 114, 178}, 0, 500), 400);
    const int dots = count_colour(picture, {213, 94, 0}, 0, 500);
    EXPECT_TRUE(dots >= 16 && dots <= 42) << dots;
    // The legend's swatches are the only ink of these colours beside the plot.
    EXPECT_GT(count_colour(picture, {213, 94, 0}, 500), 20);
}

TEST(Chart, CutsOffWhatLiesOutside) {
    const TemporaryFolder folder;
    Chart chart{"", "", "", {{"", {0, 1, 2, 3}, {0.5, 100, -100, 0.5}}}, 0, 1};
    write_chart(folder.path("a.png"), {chart}, 400, 200);
    const ImageBytes picture = read_image(folder.path("a.png"));
    // The plot begins at row 16 and a curve's pen is 2 pixels wide: above that there are only grey labels.
    for (std::size_t pixel = 0; pixel < 14 * 400; ++pixel) {
        const uint8_t* rgb = picture.pixels.data() + pixel * 3;
        ASSERT_TRUE(rgb[0] == rgb[1] && rgb[1] == rgb[2]) << pixel;
    }
    EXPECT_GT(count_colour(picture, {0, 114, 178}), 20);
}

TEST(Chart, OddDataIsDrawnToo) {
    const TemporaryFolder folder;
    write_chart(folder.path("a.png"), {Chart{"empty", "x", "y", {}}, Chart{"one", "x", "y", {{"p", {3}, {0}}}}});
    EXPECT_EQ(read_image(folder.path("a.png")).height, 640);
    Chart logarithmic{"log", "x", "y", {{"s", {1, 10, 1000}, {1, 2, 3}}}, 0, 0, true};
    write_chart(folder.path("b.png"), {logarithmic});
    EXPECT_EQ(read_image(folder.path("b.png")).width, 900);
}

TEST(Chart, Errors) {
    const TemporaryFolder folder;
    const auto error = [&](const Chart& chart) {
        return error_of([&] { write_chart(folder.path("a.png"), {chart}); });
    };
    EXPECT_EQ(error({"", "", "", {{"s", {1, 2}, {1}}}}), "chart: series 's' has 2 x values and 1 y values");
    EXPECT_THAT(error({"", "", "", {{"s", {0}, {1}}}, 0, 0, true}), HasSubstr("needs finite values above 0"));
    EXPECT_THROW(write_chart(folder.path("a.png"), {}), Error);
    EXPECT_THROW(write_chart(folder.path("a.png"), {Chart{}}, 60, 30), Error);
    EXPECT_FALSE(std::filesystem::exists(folder.path("a.png")));
}

}  // namespace
}  // namespace lethe::test
