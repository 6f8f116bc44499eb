// Pictures people look at: contact sheets of images and curves of numbers, as PNG.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "tensor/tensor.h"

namespace lethe {

using Colour = std::array<uint8_t, 3>;

// An RGB canvas. Coordinates are pixels from the top left; drawing outside is clipped. Throws Error for a side outside
// 1..16384.
class Canvas {
public:
    Canvas(int width, int height, Colour background = {255, 255, 255});
    int width() const { return width_; }
    int height() const { return height_; }
    Colour pixel(int x, int y) const;  // throws Error outside the canvas
    void set(int x, int y, Colour colour);
    void rectangle(int x, int y, int width, int height, Colour colour);  // filled
    // Antialiased, round ends; whole coordinates are the centres of pixels.
    void line(double x0, double y0, double x1, double y1, Colour colour, double thickness = 1.5);
    // Joined lines, even where they meet or cross; points are {x, y}. A point that is not finite draws nothing at all.
    void polyline(const std::vector<std::array<double, 2>>& points, Colour colour, double thickness = 1.5);
    // One line of ASCII (anything else shows as '?') from its top-left corner; capitals are 8 * scale pixels high,
    // descenders reach 2 * scale below them.
    void text(int x, int y, const std::string& text, Colour colour, int scale = 1);
    static int text_width(const std::string& text, int scale = 1);
    // Draws image [3,H,W] given as row `row` of images [N,3,H,W] in [0,1], each pixel `zoom` times enlarged.
    void image(int x, int y, const Tensor& images, int64_t row, int zoom);
    void write_png(const std::filesystem::path& path) const;  // atomically; throws Error

private:
    bool contains(int x, int y) const { return x >= 0 && y >= 0 && x < width_ && y < height_; }
    std::size_t at(int x, int y) const;
    void blend(int x, int y, Colour colour, double opacity);
    struct Segment {
        double x0, y0, x1, y1, thickness;
    };
    void ink(const std::vector<Segment>& segments, Colour colour);

    int width_, height_;
    std::vector<uint8_t> pixels_;
};

// A grid of labelled pictures: `rows` of cells, each an image and a caption of one or two short lines.
struct SheetCell {
    Tensor images;  // [N,3,H,W] in [0,1]
    int64_t row = 0;
    std::string caption;  // '\n' separates lines
    Colour caption_colour = {40, 40, 40};
};
struct Sheet {
    std::string title;
    std::vector<std::string> column_titles;
    std::vector<std::vector<SheetCell>> rows;
};
void write_sheet(const std::filesystem::path& path, const Sheet& sheet, int zoom = 3);

// A line chart with axes, ticks, grid and legend (beside the curves, never over them). A value that is not finite
// interrupts its curve; what lies outside [y_min, y_max] is cut off.
struct Series {
    std::string name;
    std::vector<double> x, y;
};
struct Chart {
    std::string title, x_label, y_label;
    std::vector<Series> series;
    double y_min = 0, y_max = 0;  // equal: taken from the data
    bool log_x = false;           // x must be > 0
};
// Panels one below the other. Throws Error when x and y differ in length, or x <= 0 with log_x, or there is no panel.
void write_chart(const std::filesystem::path& path, const std::vector<Chart>& panels, int width = 900,
                 int panel_height = 320);

}  // namespace lethe
