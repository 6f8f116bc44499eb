// From the bytes of an image file to the pixels of a network: decoders, and the resize and crop of ImageNet's models.
#include <benchmark/benchmark.h>

#include <cstdio>
#include <cstdlib>
// jpeglib.h wants the types of stdio.h.
#include <jpeglib.h>

#include "bench/support/inputs.h"
#include "data/image_file.h"
#include "data/transform.h"

namespace lethe::bench {
namespace {

constexpr int64_t height = 375, width = 500;

// A smooth picture, as photographs mostly are.
double value_at(double y, double x, int64_t channel) {
    return 127.5 + 60.0 * std::sin(0.03 * x + static_cast<double>(channel)) + 60.0 * std::cos(0.04 * y - 0.02 * x);
}

ImageBytes drawn() {
    ImageBytes image{height, width, {}};
    for (int64_t y = 0; y < height; ++y)
        for (int64_t x = 0; x < width; ++x)
            for (int64_t c = 0; c < 3; ++c)
                image.pixels.push_back(
                    static_cast<uint8_t>(std::lround(value_at(static_cast<double>(y), static_cast<double>(x), c))));
    return image;
}

std::vector<uint8_t> encode_jpeg(const ImageBytes& image) {
    jpeg_compress_struct state{};
    jpeg_error_mgr errors{};
    state.err = jpeg_std_error(&errors);
    jpeg_create_compress(&state);
    unsigned char* bytes = nullptr;
    unsigned long size = 0;  // NOLINT: libjpeg's type
    jpeg_mem_dest(&state, &bytes, &size);
    state.image_width = static_cast<JDIMENSION>(image.width);
    state.image_height = static_cast<JDIMENSION>(image.height);
    state.input_components = 3;
    state.in_color_space = JCS_RGB;
    jpeg_set_defaults(&state);  // 4:2:0
    jpeg_set_quality(&state, 90, TRUE);
    jpeg_start_compress(&state, TRUE);
    for (int64_t y = 0; y < image.height; ++y) {
        auto* row = const_cast<uint8_t*>(image.pixels.data() + y * image.width * 3);  // libjpeg only reads it
        jpeg_write_scanlines(&state, &row, 1);
    }
    jpeg_finish_compress(&state);
    std::vector<uint8_t> result(bytes, bytes + size);
    jpeg_destroy_compress(&state);
    std::free(bytes);  // NOLINT: libjpeg allocated it so
    return result;
}

// Whether pixels of `image` are those of the drawn picture, of which pixel (y, x) shows the place that place(y, x)
// names.
template <class Place>
bool shows(benchmark::State& state, const ImageBytes& image, double tolerance, Place&& place) {
    for (int64_t i = 0; i < 32; ++i) {
        const int64_t y = sample(i, 32, image.height), x = sample(31 - i, 32, image.width);
        const auto [from_y, from_x] = place(static_cast<double>(y), static_cast<double>(x));
        for (int64_t c = 0; c < 3; ++c)
            if (!agrees(state, "a pixel", image.pixels[static_cast<std::size_t>((y * image.width + x) * 3 + c)],
                        value_at(from_y, from_x, c), tolerance))
                return false;
    }
    return true;
}

constexpr auto same_place = [](double y, double x) { return std::pair{y, x}; };

void report_pixels(benchmark::State& state, int64_t pixels) {
    state.SetItemsProcessed(state.iterations());
    state.counters["Mpixel/s"] =
        benchmark::Counter(static_cast<double>(state.iterations() * pixels) * 1e-6, benchmark::Counter::kIsRate);
}

void decode(benchmark::State& state, const std::vector<uint8_t>& file, double tolerance) {
    if (!shows(state, decode_image(file), tolerance, same_place)) return;
    for (auto _ : state) benchmark::DoNotOptimize(decode_image(file).pixels.data());
    report_pixels(state, height * width);
}

void decode_jpeg_file(benchmark::State& state) { decode(state, encode_jpeg(drawn()), 6.0); }
void decode_png_file(benchmark::State& state) { decode(state, encode_png(height, width, drawn().pixels), 0.5); }

// 500x375 pixels to 341x256, of which 224x224 are kept.
void imagenet_transform(benchmark::State& state, const char* text) {
    const ImageBytes image = drawn();
    const Transform transform = parse_transform(text);
    const auto place = [](double y, double x) {
        return std::pair{(y + 16 + 0.5) * 375 / 256 - 0.5, (x + 58 + 0.5) * 500 / 341 - 0.5};
    };
    if (!shows(state, apply(transform, image), 1.5, place)) return;
    for (auto _ : state) benchmark::DoNotOptimize(apply(transform, image).pixels.data());
    report_pixels(state, height * width);
}

BENCHMARK(decode_jpeg_file)->Unit(benchmark::kMicrosecond);
BENCHMARK(decode_png_file)->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(imagenet_transform, bilinear, "resize=256,bilinear,crop=224")->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(imagenet_transform, bicubic, "resize=256,bicubic,crop=224")->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace lethe::bench
