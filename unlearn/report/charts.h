// Charts as inline SVG. Lengths are the units of a viewBox 360 wide, so that a chart is readable on a phone and several
// fit beside each other on a desk; y grows downwards.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "data/axis.h"
#include "unlearn/report/style.h"
#include "unlearn/statistics.h"

namespace lethe::report {

inline constexpr double chart_width = 360;

// The rectangle of a chart's data and how values become places in it. A logarithmic x needs values above 0.
struct Plot {
    double left = 0, right = 0, top = 0, bottom = 0;
    Range x = {}, y = {};
    bool log_x = false;
    double inset = 0;  // the range of x begins and ends so far inside

    double at_x(double value) const;  // left + inset + share of the range (of its logarithm) * (right - left - 2 inset)
    double at_y(double value) const;  // bottom - share * (bottom - top); beyond the range at its end
};

// One drawing. `alternative` is what it says to those who do not see it.
class Drawing {
public:
    Drawing(double height, const std::string& alternative) : height_(height), alternative_(alternative) {}
    void line(double x0, double y0, double x1, double y1, const std::string& css_class);
    void text(double x, double y, const std::string& text, const std::string& css_class = "");
    void rectangle(double x, double y, double width, double height, const std::string& css_class);
    void polyline(const std::vector<std::pair<double, double>>& points, const std::string& css_class);
    void mark(double x, double y, const Mark& mark);
    std::string html() const;

private:
    double height_;
    std::string alternative_, shapes_;
};

// Curves over a common x, each with its dashes and its shape at some of its points: elsewhere than the others', so that
// curves that coincide are still seen. A y that is not finite interrupts
// its curve; one beyond the chart's range is drawn at its edge.
struct CurvePoint {
    double x = 0, y = 0;
    std::optional<Interval> interval = {};  // of y, as a bar
};
struct Curve {
    std::string name;
    Mark mark;
    std::vector<CurvePoint> points;
};
struct CurveChart {
    std::string alternative, x_label, y_label;
    std::vector<Curve> curves;
    Range x = {}, y = {};  // empty: what the curves take, y in round steps
    bool log_x = false, whole_x = false;
    std::vector<double> x_ticks = {};      // empty: round ones
    std::optional<double> reference = {};  // a horizontal line
    bool mark_all = false;                 // a shape at every point, not only at some
    double beside = 0;  // curves are moved sideways by this, so that their bars do not hide each other
};
std::string draw(const CurveChart& chart);

// A row for each name: marks on a common scale.
struct DotRow {
    std::string name, note;
    std::vector<std::pair<double, Mark>> dots;
};
struct DotChart {
    std::string alternative, x_label;
    std::vector<DotRow> rows;
    Range x;
};
std::string draw(const DotChart& chart);

// How many values lie in each of `bins` bins of width `step` from `low` on; the upper end belongs to the last one.
// Values elsewhere are not counted.
std::vector<int64_t> bin_counts(const std::vector<double>& values, double low, double step, std::size_t bins);

// A row for each name: how its values are spread over a common scale, which is marked at 0.
struct SpreadRow {
    std::string name, note;
    Mark mark;
    std::vector<double> values;
};
struct HistogramChart {
    std::string alternative, x_label;
    std::vector<SpreadRow> rows;
};
std::string draw(const HistogramChart& chart);

// A row for each name: line from 5 % to 95 %, box from 25 % to 75 %, median.
struct BoxRow {
    std::string name, note;
    Mark mark;
    double q05 = 0, q25 = 0, median = 0, q75 = 0, q95 = 0;
};
struct BoxChart {
    std::string alternative, x_label;
    std::vector<BoxRow> rows;
};
std::string draw(const BoxChart& chart);

// What the marks mean, below a chart; each with a word on what it shows.
struct LegendEntry {
    std::string name;
    Mark mark;
    bool line = true;
    std::string note = {};
};
std::string legend(const std::vector<LegendEntry>& entries);

}  // namespace lethe::report
