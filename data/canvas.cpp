#include <algorithm>
#include <cmath>

#include "data/file.h"
#include "data/font.h"
#include "data/image_file.h"
#include "data/picture.h"
#include "tensor/error.h"

namespace lethe {
namespace {

constexpr int largest_side = 16384;

uint8_t to_byte(float value) {
    return static_cast<uint8_t>(std::lround(255.0f * (value > 0 ? std::min(value, 1.0f) : 0.0f)));  // NaN is black
}

// Distance of point (x, y) from the segment.
double distance_to(double x, double y, double x0, double y0, double x1, double y1) {
    const double dx = x1 - x0, dy = y1 - y0, squared = dx * dx + dy * dy;
    const double along = squared > 0 ? std::clamp(((x - x0) * dx + (y - y0) * dy) / squared, 0.0, 1.0) : 0.0;
    return std::hypot(x - x0 - along * dx, y - y0 - along * dy);
}

// Pixels left..right, top..bottom, both ends included.
struct Box {
    int left, top, right, bottom;
    Box with(const Box& other) const {
        return {std::min(left, other.left), std::min(top, other.top), std::max(right, other.right),
                std::max(bottom, other.bottom)};
    }
};

}  // namespace

Canvas::Canvas(int width, int height, Colour background) : width_(width), height_(height) {
    check(width > 0 && height > 0 && width <= largest_side && height <= largest_side, "picture: a canvas of ", width,
          "x", height, " pixels; sides must be 1 to ", largest_side);
    pixels_.resize(static_cast<std::size_t>(width) * static_cast<std::size_t>(height) * 3);
    rectangle(0, 0, width, height, background);
}

std::size_t Canvas::at(int x, int y) const {
    return (static_cast<std::size_t>(y) * static_cast<std::size_t>(width_) + static_cast<std::size_t>(x)) * 3;
}

Colour Canvas::pixel(int x, int y) const {
    check(contains(x, y), "picture: no pixel (", x, ", ", y, ") on a canvas of ", width_, "x", height_);
    const uint8_t* pixel = pixels_.data() + at(x, y);
    return {pixel[0], pixel[1], pixel[2]};
}

void Canvas::set(int x, int y, Colour colour) {
    if (contains(x, y)) std::copy(colour.begin(), colour.end(), pixels_.data() + at(x, y));
}

void Canvas::blend(int x, int y, Colour colour, double opacity) {
    if (!contains(x, y)) return;
    uint8_t* pixel = pixels_.data() + at(x, y);
    for (std::size_t i = 0; i < 3; ++i)
        pixel[i] = static_cast<uint8_t>(std::lround(pixel[i] + (colour[i] - pixel[i]) * opacity));
}

void Canvas::rectangle(int x, int y, int width, int height, Colour colour) {
    for (int row = std::max(y, 0); row < std::min(y + height, height_); ++row)
        for (int column = std::max(x, 0); column < std::min(x + width, width_); ++column) set(column, row, colour);
}

// Draws the union of thick lines: each pixel is blended once, by the line that covers most of it, or else joints would
// come out as blots. The share covered follows from the distance of the pixel's centre: exact for an edge parallel to
// the grid, close for the others.
void Canvas::ink(const std::vector<Segment>& segments, Colour colour) {
    const auto bound = [](double value, int size) { return static_cast<int>(std::clamp(value, 0.0, size - 1.0)); };
    const auto pixels_of = [&](const Segment& s) {
        const double reach = s.thickness / 2 + 1;
        return Box{bound(std::floor(std::min(s.x0, s.x1) - reach), width_),
                   bound(std::floor(std::min(s.y0, s.y1) - reach), height_),
                   bound(std::ceil(std::max(s.x0, s.x1) + reach), width_),
                   bound(std::ceil(std::max(s.y0, s.y1) + reach), height_)};
    };
    Box all{width_, height_, -1, -1};
    for (const Segment& s : segments) {
        if (!(std::isfinite(s.x0) && std::isfinite(s.y0) && std::isfinite(s.x1) && std::isfinite(s.y1))) return;
        all = all.with(pixels_of(s));
    }
    if (segments.empty()) return;
    const std::size_t stride = static_cast<std::size_t>(all.right - all.left + 1);
    std::vector<float> covered(stride * static_cast<std::size_t>(all.bottom - all.top + 1), 0.0f);
    const auto at_pixel = [&](int x, int y) -> float& {
        return covered[static_cast<std::size_t>(y - all.top) * stride + static_cast<std::size_t>(x - all.left)];
    };
    for (const Segment& s : segments) {
        const Box box = pixels_of(s);
        for (int y = box.top; y <= box.bottom; ++y)
            for (int x = box.left; x <= box.right; ++x) {
                const double share = s.thickness / 2 + 0.5 - distance_to(x, y, s.x0, s.y0, s.x1, s.y1);
                at_pixel(x, y) = std::max(at_pixel(x, y), static_cast<float>(std::min(share, 1.0)));
            }
    }
    for (int y = all.top; y <= all.bottom; ++y)
        for (int x = all.left; x <= all.right; ++x)
            if (at_pixel(x, y) > 0) blend(x, y, colour, static_cast<double>(at_pixel(x, y)));
}

void Canvas::line(double x0, double y0, double x1, double y1, Colour colour, double thickness) {
    ink({{x0, y0, x1, y1, thickness}}, colour);
}

void Canvas::polyline(const std::vector<std::array<double, 2>>& points, Colour colour, double thickness) {
    std::vector<Segment> segments;
    for (std::size_t i = 0; i + 1 < points.size(); ++i)
        segments.push_back({points[i][0], points[i][1], points[i + 1][0], points[i + 1][1], thickness});
    ink(segments, colour);
}

void Canvas::text(int x, int y, const std::string& text, Colour colour, int scale) {
    const double thickness = 0.35 + 0.75 * scale;  // strokes as fat as the letters are large would look clumsy
    for (const char character : ascii_text(text)) {
        const Glyph& drawn = glyph(character);
        std::vector<Segment> segments;
        const auto add = [&](StrokePoint from, StrokePoint to, double weight) {
            segments.push_back({static_cast<double>(x + from.x * scale), static_cast<double>(y + from.y * scale),
                                static_cast<double>(x + to.x * scale), static_cast<double>(y + to.y * scale), weight});
        };
        for (const Stroke& stroke : drawn.strokes) {
            if (stroke.size() == 1) add(stroke[0], stroke[0], thickness + 0.5);  // a dot needs more ink to be seen
            for (std::size_t i = 0; i + 1 < stroke.size(); ++i) add(stroke[i], stroke[i + 1], thickness);
        }
        ink(segments, colour);
        x += drawn.advance * scale;
    }
}

int Canvas::text_width(const std::string& text, int scale) {
    int width = 0;
    for (const char character : ascii_text(text)) width += glyph(character).advance;
    return width > 0 ? (width - 2) * scale : 0;  // less the gap after the last letter
}

void Canvas::image(int x, int y, const Tensor& images, int64_t row, int zoom) {
    check(images.defined() && images.rank() == 4 && images.dim(1) == 3, "picture: images must be [N,3,H,W]");
    check(row >= 0 && row < images.dim(0), "picture: no image ", row, " among ", images.dim(0));
    check(zoom >= 1, "picture: the zoom must be at least 1, got ", zoom);
    const int height = static_cast<int>(images.dim(2)), width = static_cast<int>(images.dim(3));
    const float* value = images.data() + row * height * width * 3;  // channels-last
    for (int v = 0; v < height; ++v)
        for (int u = 0; u < width; ++u, value += 3)
            rectangle(x + u * zoom, y + v * zoom, zoom, zoom,
                      {to_byte(value[0]), to_byte(value[1]), to_byte(value[2])});
}

void Canvas::write_png(const std::filesystem::path& path) const {
    write_file(path, encode_png(height_, width_, pixels_));
}

}  // namespace lethe
