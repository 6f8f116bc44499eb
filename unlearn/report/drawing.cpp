// Shapes, marks and legends.
#include <array>
#include <cmath>
#include <cstdio>

#include "unlearn/report/charts.h"
#include "unlearn/report/html.h"

namespace lethe::report {
namespace {

// Tenths of a unit are finer than a pixel.
std::string unit(double value) {
    std::array<char, 32> text;
    std::snprintf(text.data(), text.size(), "%.1f", value);
    std::string number = text.data();
    if (number.ends_with(".0")) number.resize(number.size() - 2);
    return number == "-0" ? "0" : number;
}

// About (0, 0), as a path.
const char* shape_path(int shape) {
    static constexpr std::array<const char*, shapes> paths{
        "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0 -8 0z",                           // circle
        "M-3.6 -3.6h7.2v7.2h-7.2z",                                      // square
        "M0 -4.8L4.6 3.4H-4.6z",                                         // triangle
        "M0 -5L5 0L0 5L-5 0z",                                           // diamond
        "M0 4.8L4.6 -3.4H-4.6z",                                         // triangle upside down
        "M-1.3 -4.6h2.6v3.3h3.3v2.6h-3.3v3.3h-2.6v-3.3h-3.3v-2.6h3.3z",  // plus
        "M-4.8 -2.4L0 -5L4.8 -2.4V2.4L0 5L-4.8 2.4z",                    // hexagon
    };
    return paths[static_cast<std::size_t>(shape % shapes)];
}

std::string mark_html(double x, double y, const Mark& mark) {
    return element("path", "",
                   {{"class", "mark " + mark.colour},
                    {"transform", "translate(" + unit(x) + " " + unit(y) + ")"},
                    {"d", shape_path(mark.shape)}});
}

}  // namespace

double Plot::at_x(double value) const {
    const double share =
        log_x ? std::log(value / x.low) / std::log(x.high / x.low) : (value - x.low) / (x.high - x.low);
    return left + inset + share * (right - left - 2 * inset);
}

double Plot::at_y(double value) const {
    const double share = std::clamp((value - y.low) / (y.high - y.low), 0.0, 1.0);
    return bottom - share * (bottom - top);
}

void Drawing::line(double x0, double y0, double x1, double y1, const std::string& css_class) {
    shapes_ += element("line", "",
                       {{"class", css_class}, {"x1", unit(x0)}, {"y1", unit(y0)}, {"x2", unit(x1)}, {"y2", unit(y1)}}) +
               "\n";
}

void Drawing::text(double x, double y, const std::string& text, const std::string& css_class) {
    Attributes attributes{{"x", unit(x)}, {"y", unit(y)}};
    if (!css_class.empty()) attributes.emplace_back("class", css_class);
    shapes_ += element("text", escaped(text), attributes) + "\n";
}

void Drawing::rectangle(double x, double y, double width, double height, const std::string& css_class) {
    shapes_ +=
        element(
            "rect", "",
            {{"class", css_class}, {"x", unit(x)}, {"y", unit(y)}, {"width", unit(width)}, {"height", unit(height)}}) +
        "\n";
}

void Drawing::polyline(const std::vector<std::pair<double, double>>& points, const std::string& css_class) {
    if (points.size() < 2) return;
    std::string text;
    for (const auto& [x, y] : points) text += (text.empty() ? "" : " ") + unit(x) + "," + unit(y);
    shapes_ += element("polyline", "", {{"class", css_class}, {"points", text}}) + "\n";
}

void Drawing::mark(double x, double y, const Mark& mark) { shapes_ += mark_html(x, y, mark) + "\n"; }

std::string Drawing::html() const {
    return element("svg", "\n" + shapes_,
                   {{"class", "chart"},
                    {"viewBox", "0 0 " + unit(chart_width) + " " + unit(height_)},
                    {"role", "img"},
                    {"aria-label", alternative_}}) +
           "\n";
}

std::string legend(const std::vector<LegendEntry>& entries) {
    std::vector<std::string> items_html;
    for (const LegendEntry& entry : entries) {
        std::string swatch;
        if (entry.line)
            swatch = element("line", "",
                             {{"class", "curve " + entry.mark.colour + " d" + std::to_string(entry.mark.dash)},
                              {"x1", "0"},
                              {"y1", "6"},
                              {"x2", "34"},
                              {"y2", "6"}});
        swatch += mark_html(17, 6, entry.mark);
        const std::string note = entry.note.empty() ? "" : " " + element("small", escaped(entry.note));
        items_html.push_back(element("svg", swatch, {{"viewBox", "0 0 34 12"}, {"aria-hidden", "true"}}) +
                             element("span", escaped(entry.name) + note));
    }
    return list(items_html, "legend");
}

}  // namespace lethe::report
