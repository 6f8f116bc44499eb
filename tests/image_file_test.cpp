#include "data/image_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <set>

#include "data/file.h"
#include "data/weights.h"
#include "tests/support/compare.h"
#include "tests/support/golden.h"
#include "tests/support/images.h"

namespace lethe::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;

// The marker of a baseline JPEG file's frame: ff c0, two bytes length, precision, height, width.
uint8_t* frame_header(std::vector<uint8_t>& jpeg) {
    const uint8_t marker[] = {0xff, 0xc0};
    return &*std::search(jpeg.begin(), jpeg.end(), std::begin(marker), std::end(marker));
}

TEST(DecodeImage, GivesThePixelsOfPil) {
    std::set<std::string> extensions;
    for (const auto& [name, expected] : golden_images().below("decoded.")) {
        extensions.insert(std::filesystem::path(name).extension());
        EXPECT_TRUE(same_pixels(read_image(picture(name)), expected)) << name;
    }
    EXPECT_EQ(extensions, (std::set<std::string>{".bmp", ".jpg", ".pgm", ".png", ".ppm"}));
}

// No file may lose a byte unnoticed, and none may crash or be filled up with grey.
TEST(DecodeImage, RefusesEveryTruncation) {
    for (const char* name : {"420.jpg", "progressive.jpg", "cmyk.jpg", "rgba.png", "interlaced_1_bit.png",
                             "palette_4_bit.png", "palette.bmp", "rgb.ppm"}) {
        const std::vector<uint8_t> file = read_file(picture(name));
        for (std::size_t length = 0; length < file.size(); length += 1 + length / 64)
            EXPECT_THAT(error_of([&] { decode_image(std::span(file).first(length), "a.xyz"); }), HasSubstr("a.xyz is "))
                << name << " cut to " << length;
        EXPECT_THROW(decode_image(std::span(file).first(file.size() - 1)), Error) << name;
    }
}

// Whatever single byte is changed: the pixels of an image of that size or an Error.
TEST(DecodeImage, SurvivesDamage) {
    int refused = 0;
    for (const char* name : {"420.jpg", "progressive_grey.jpg", "one_bit.png", "palette_key.png", "palette.bmp"}) {
        std::vector<uint8_t> file = read_file(picture(name));
        for (std::size_t i = 0; i < file.size(); i += 3) {
            const uint8_t kept = std::exchange(file[i], static_cast<uint8_t>(file[i] ^ (1 << i % 8)));
            try {
                const ImageBytes image = decode_image(file);
                EXPECT_EQ(static_cast<int64_t>(image.pixels.size()), image.height * image.width * 3);
            } catch (const Error&) {
                ++refused;
            }
            file[i] = kept;
        }
    }
    EXPECT_GT(refused, 500);
}

TEST(DecodeImage, ChecksumsOfPngCount) {
    std::vector<uint8_t> file = read_file(picture("rgb.png"));
    file[file.size() / 2] ^= 1;
    EXPECT_THAT(error_of([&] { decode_image(file, "a.png"); }),
                HasSubstr("image: a.png is a damaged or truncated PNG"));
}

// A header that claims more than the file can hold is refused before memory is taken for it.
TEST(DecodeImage, RefusesSizesThatTheFileCannotHold) {
    std::vector<uint8_t> jpeg = read_file(picture("grey.jpg"));
    uint8_t* frame = frame_header(jpeg);
    frame[5] = 0x1f;  // upper half of the height
    frame[7] = 0x1f;  // and of the width
    EXPECT_THAT(error_of([&] { decode_image(jpeg); }), HasSubstr("bytes cannot hold 7997x7983 pixels"));
    frame[5] = 0x40;
    EXPECT_THAT(error_of([&] { decode_image(jpeg); }), HasSubstr("has 7997x16431 pixels; at most 2^26 are supported"));
    EXPECT_THAT(error_of([] { decode_image(bytes_of("P6\n60000 1000\n255\n")); }), HasSubstr("18 bytes cannot hold"));
    EXPECT_THAT(error_of([] { decode_image(bytes_of("P6\n99999999999999999999 1\n255\n")); }),
                HasSubstr("at most 2^26"));
    EXPECT_THAT(error_of([] { decode_image(bytes_of("P6 0 1 255\n")); }), HasSubstr("its size is 0x1"));
}

TEST(DecodeImage, SaysWhatItDoesNotRead) {
    const auto refusal = [](const std::string& contents) {
        return error_of([&] { decode_image(bytes_of(contents), "a"); });
    };
    EXPECT_EQ(refusal("GIF89a..."), "image: a is a GIF file; JPEG, PNG, BMP and PPM files are read");
    EXPECT_EQ(refusal("RIFF....WEBPVP8 "), "image: a is a WebP file; JPEG, PNG, BMP and PPM files are read");
    EXPECT_EQ(refusal(""), "image: a is not a JPEG, PNG, BMP or PPM file");
    EXPECT_EQ(refusal("P6 1 1 65535\n......"),
              "image: a is a PPM file with values up to 65535; those with values up to "
              "255 are read");
    EXPECT_THAT(refusal(std::string("BM") + std::string(12, '\0') + '\x0c' + std::string(40, '\0')),
                HasSubstr("older than Windows 3"));
    std::vector<uint8_t> bmp = read_file(picture("rgb.bmp"));
    bmp[28] = 16;
    EXPECT_THAT(error_of([&] { decode_image(bmp); }), HasSubstr("16 bits per pixel and compression 0; uncompressed"));
    std::vector<uint8_t> jpeg = read_file(picture("grey.jpg"));
    frame_header(jpeg)[1] = 0xc9;
    EXPECT_THAT(error_of([&] { decode_image(jpeg); }), HasSubstr("arithmetic-coded"));
    EXPECT_THAT(error_of([&] { read_image(picture("grey_16_bit.png")); }), HasSubstr("convert it to 8 bits"));
    EXPECT_THAT(error_of([] { read_image("/nonexistent/a.jpg"); }), HasSubstr("/nonexistent/a.jpg"));
}

// Cameras leave bytes between segments; PIL and we skip them.
TEST(DecodeImage, SkipsSuperfluousBytes) {
    std::vector<uint8_t> jpeg = read_file(picture("420.jpg"));
    const ImageBytes expected = decode_image(jpeg);
    jpeg.insert(jpeg.end() - 2, {0, 0, 0});
    jpeg.push_back(7);
    EXPECT_EQ(decode_image(jpeg).pixels, expected.pixels);
}

// By hand: comments, several kinds of white space.
TEST(DecodeImage, Ppm) {
    const ImageBytes image = decode_image(bytes_of("P6 # two pixels\n2\t1\n# of 8 bits\n255\nABCabc"));
    EXPECT_EQ(image.height, 1);
    EXPECT_EQ(image.width, 2);
    EXPECT_EQ(image.pixels, bytes_of("ABCabc"));
}

TEST(EncodePng, RoundTrips) {
    const std::vector<uint8_t> pixels = bytes_of("ABCDEFGHIJKLMNOPQR");
    const ImageBytes image = decode_image(encode_png(3, 2, pixels));
    EXPECT_EQ(image.height, 3);
    EXPECT_EQ(image.width, 2);
    EXPECT_EQ(image.pixels, pixels);
    EXPECT_THROW(encode_png(3, 3, pixels), Error);
}

// Nobody may ever write to it.
TEST(ReadImage, APipeIsNotWaitedFor) {
    const TemporaryFolder folder;
    ASSERT_EQ(mkfifo(folder.path("pipe.png").c_str(), 0600), 0);
    EXPECT_THAT(error_of([&] { read_image(folder.path("pipe.png")); }), HasSubstr("pipe.png is a device or a pipe"));
}

}  // namespace
}  // namespace lethe::test
