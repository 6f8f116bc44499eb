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

// An RGB canvas. Coordinates are pixels from the top left; drawing outside is clipped.
class Canvas {
public:
    Canvas(int width, int height, Colour background = {255, 255, 255});
    int width() const { return width_; }
    int height() const { return height_; }
    Colour pixel(int x, int y) const;
    void set(int x, int y, Colour colour);
    void rectangle(int x, int y, int width, int height, Colour colour);                            // filled
    void line(double x0, double y0, double x1, double y1, Colour colour, double thickness = 1.5);  // antialiased
    void text(int x, int y, const std::string& text, Colour colour, int scale = 1);  // top-left corner; scale 1 = 8 px
    static int text_width(const std::string& text, int scale = 1);
    // Draws image [3,H,W] given as row `row` of images [N,3,H,W] in [0,1], each pixel `zoom` times enlarged.
    void image(int x, int y, const Tensor& images, int64_t row, int zoom);
    void write_png(const std::filesystem::path& path) const;  // atomically; throws Error

private:
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

// A line chart with axes, ticks, grid and legend.
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
void write_chart(const std::filesystem::path& path, const std::vector<Chart>& panels, int width = 900,
                 int panel_height = 320);

}  // namespace lethe
