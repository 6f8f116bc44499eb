#include "unlearn/report/charts.h"

#include <cmath>

#include "tensor/error.h"

namespace lethe::report {
namespace {

constexpr double side = 8, letter = 6.2, curve_height = 236;  // letter: a digit's width in the charts' type size
constexpr double row_height = 34, title_height = 15, axis_height = 40;

std::string minus(const std::string& number) { return number.starts_with('-') ? "\u2212" + number.substr(1) : number; }

double widest(const std::vector<double>& ticks) {
    std::size_t letters = 0;
    for (const double tick : ticks) letters = std::max(letters, tick_label(tick).size());
    return letter * static_cast<double>(letters);
}

// Below the plot: ticks with their numbers, and what x is.
void draw_x_axis(Drawing& drawing, const Plot& plot, const std::vector<double>& ticks, const std::string& label) {
    double free = -1e9;  // where the next number may begin
    for (const double tick : ticks) {
        const double x = plot.at_x(tick), half = letter * static_cast<double>(tick_label(tick).size()) / 2;
        drawing.line(x, plot.bottom, x, plot.bottom + 4, "axis");
        if (x - half < free) continue;
        drawing.text(x, plot.bottom + 16, minus(tick_label(tick)), "middle");
        free = x + half + 4;
    }
    drawing.line(plot.left, plot.bottom, plot.right, plot.bottom, "axis");
    drawing.text((plot.left + plot.right) / 2, plot.bottom + 32, label, "middle");
}

// Round ends for a range that the data decide.
double round_out(Range& range, int wanted) {
    widen(range, false);
    const double step = nice_step(range, wanted);
    range = {std::floor(range.low / step + 1e-9) * step, std::ceil(range.high / step - 1e-9) * step};
    return step;
}

std::vector<double> x_ticks_of(const CurveChart& chart, const Range& x) {
    if (!chart.x_ticks.empty()) return chart.x_ticks;
    if (chart.log_x) return log_ticks(x);
    const double step = nice_step(x, 6);
    return linear_ticks(x, chart.whole_x ? std::max(1.0, std::round(step)) : step);
}

void find_ranges(const CurveChart& chart, Plot& plot, double& y_step) {
    plot.x = chart.x;
    plot.y = chart.y;
    for (const Curve& curve : chart.curves)
        for (const CurvePoint& point : curve.points) {
            check(std::isfinite(point.x) && (point.x > 0 || !chart.log_x), "report: curve '", curve.name,
                  "' has a point at x = ", point.x, ", where the axis has none");
            if (chart.x.empty()) plot.x.include(point.x);
            if (!chart.y.empty() || !std::isfinite(point.y)) continue;
            plot.y.include(point.y);
            if (point.interval) plot.y.include(point.interval->low);
            if (point.interval) plot.y.include(point.interval->high);
        }
    if (chart.y.empty() && chart.reference) plot.y.include(*chart.reference);
    widen(plot.x, chart.log_x);
    if (chart.y.empty())
        y_step = round_out(plot.y, 5);
    else
        y_step = nice_step(plot.y, 5);
}

std::string line_class(const Mark& mark) { return "curve " + mark.colour + " d" + std::to_string(mark.dash); }

void draw_line(Drawing& drawing, const Plot& plot, const Curve& curve, double shift) {
    std::vector<std::pair<double, double>> run;
    for (const CurvePoint& point : curve.points) {
        if (std::isfinite(point.y)) {
            run.emplace_back(plot.at_x(point.x) + shift, plot.at_y(point.y));
            continue;
        }
        drawing.polyline(run, line_class(curve.mark));
        run.clear();
    }
    drawing.polyline(run, line_class(curve.mark));
}

void draw_point(Drawing& drawing, const Plot& plot, const CurvePoint& point, const Mark& mark, double shift) {
    if (!std::isfinite(point.y)) return;
    const double x = plot.at_x(point.x) + shift;
    if (point.interval) {
        const std::string bar = "whisker " + mark.colour;
        const double low = plot.at_y(point.interval->low), high = plot.at_y(point.interval->high);
        drawing.line(x, low, x, high, bar);
        drawing.line(x - 3, low, x + 3, low, bar);
        drawing.line(x - 3, high, x + 3, high, bar);
    }
    drawing.mark(x, plot.at_y(point.y), mark);
}

void draw_curves(Drawing& drawing, const CurveChart& chart, const Plot& plot) {
    const std::size_t curves = chart.curves.size();
    double shift = -chart.beside * (static_cast<double>(curves) - 1) / 2;
    for (std::size_t c = 0; c < curves; ++c, shift += chart.beside) {
        const std::vector<CurvePoint>& points = chart.curves[c].points;
        draw_line(drawing, plot, chart.curves[c], shift);
        const std::size_t every = chart.mark_all ? 1 : std::max(curves, points.size() / 6);
        for (std::size_t i = 0; i < points.size(); ++i)
            if (i % every == c % every || i + 1 == points.size())
                draw_point(drawing, plot, points[i], chart.curves[c].mark, shift);
    }
}

// The frame of a chart of rows: each has a name and a note above a band for its data.
Plot draw_rows_frame(Drawing& drawing, Range x, double step, std::size_t rows, const std::string& x_label) {
    const Plot plot{.left = side + 4,
                    .right = chart_width - side - 4,
                    .top = side,
                    .bottom = side + row_height * static_cast<double>(rows),
                    .x = x,
                    .y = {0, 1}};
    const std::vector<double> ticks = linear_ticks(x, step);
    for (const double tick : ticks)
        for (double row = plot.top; row < plot.bottom - 1; row += row_height)  // not behind the rows' titles
            drawing.line(plot.at_x(tick), row + title_height, plot.at_x(tick), row + row_height,
                         tick == 0 && x.low < 0 ? "zero" : "rule");
    draw_x_axis(drawing, plot, ticks, x_label);
    return plot;
}

double rows_height(std::size_t rows) { return side + row_height * static_cast<double>(rows) + axis_height; }

// Returns the lower edge of the row's band.
double draw_row_title(Drawing& drawing, const Plot& plot, std::size_t row, const std::string& name,
                      const std::string& note) {
    const double top = plot.top + row_height * static_cast<double>(row);
    drawing.text(plot.left, top + 11, name, "name");
    drawing.text(plot.right, top + 11, note, "end");
    return top + row_height;
}

}  // namespace

std::string draw(const CurveChart& chart) {
    Plot plot{.top = 26, .bottom = curve_height - axis_height, .log_x = chart.log_x};
    double y_step = 1;
    find_ranges(chart, plot, y_step);
    const std::vector<double> y_ticks = linear_ticks(plot.y, y_step);
    plot.left = side + widest(y_ticks) + 6;
    plot.right = chart_width - side - 6;
    if (chart.beside > 0) plot.inset = chart.beside * static_cast<double>(chart.curves.size()) / 2 + 6;
    Drawing drawing(curve_height, chart.alternative);
    drawing.text(side, 12, chart.y_label);
    for (const double tick : y_ticks) {
        drawing.line(plot.left, plot.at_y(tick), plot.right, plot.at_y(tick),
                     tick == 0 && plot.y.low < 0 ? "zero" : "rule");
        drawing.text(plot.left - 6, plot.at_y(tick) + 4, minus(tick_label(tick)), "end");
    }
    draw_x_axis(drawing, plot, x_ticks_of(chart, plot.x), chart.x_label);
    if (chart.reference)
        drawing.line(plot.left, plot.at_y(*chart.reference), plot.right, plot.at_y(*chart.reference),
                     "curve plain d4 thin");
    draw_curves(drawing, chart, plot);
    return drawing.html();
}

std::string draw(const DotChart& chart) {
    Drawing drawing(rows_height(chart.rows.size()), chart.alternative);
    const Plot plot = draw_rows_frame(drawing, chart.x, nice_step(chart.x, 5), chart.rows.size(), chart.x_label);
    for (std::size_t i = 0; i < chart.rows.size(); ++i) {
        const double bottom = draw_row_title(drawing, plot, i, chart.rows[i].name, chart.rows[i].note);
        drawing.line(plot.left, bottom - 10, plot.right, bottom - 10, "rule");
        for (const auto& [value, mark] : chart.rows[i].dots)
            if (std::isfinite(value)) drawing.mark(plot.at_x(value), bottom - 10, mark);
    }
    return drawing.html();
}

std::vector<int64_t> bin_counts(const std::vector<double>& values, double low, double step, std::size_t bins) {
    std::vector<int64_t> counts(bins, 0);
    const double high = low + step * static_cast<double>(bins);
    for (const double value : values)
        if (value >= low && value <= high) ++counts[std::min(bins - 1, static_cast<std::size_t>((value - low) / step))];
    return counts;
}

std::string draw(const HistogramChart& chart) {
    Range x;
    for (const SpreadRow& row : chart.rows)
        for (const double value : row.values)
            if (std::isfinite(value)) x.include(value);
    x.include(0);
    round_out(x, 5);
    const double step = nice_step(x, 30);
    const auto bins = static_cast<std::size_t>(std::lround((x.high - x.low) / step));
    Drawing drawing(rows_height(chart.rows.size()), chart.alternative);
    const Plot plot = draw_rows_frame(drawing, x, nice_step(x, 5), chart.rows.size(), chart.x_label);
    for (std::size_t i = 0; i < chart.rows.size(); ++i) {
        const SpreadRow& row = chart.rows[i];
        const double bottom = draw_row_title(drawing, plot, i, row.name, row.note);
        const std::vector<int64_t> counts = bin_counts(row.values, x.low, step, bins);
        const auto most = static_cast<double>(*std::max_element(counts.begin(), counts.end()));
        for (std::size_t bin = 0; bin < bins; ++bin) {
            if (counts[bin] == 0) continue;
            const double left = plot.at_x(x.low + step * static_cast<double>(bin)),
                         width = plot.at_x(x.low + step) - plot.left;
            const double height = (row_height - title_height - 1) * static_cast<double>(counts[bin]) / most;
            drawing.rectangle(left + 0.4, bottom - height, width - 0.8, height, "bars " + row.mark.colour);
        }
        drawing.line(plot.left, bottom, plot.right, bottom, "rule");
    }
    return drawing.html();
}

std::string draw(const BoxChart& chart) {
    Range x;
    for (const BoxRow& row : chart.rows)
        for (const double value : {row.q05, row.q95}) x.include(value);
    x.include(0);
    round_out(x, 5);
    Drawing drawing(rows_height(chart.rows.size()), chart.alternative);
    const Plot plot = draw_rows_frame(drawing, x, nice_step(x, 5), chart.rows.size(), chart.x_label);
    for (std::size_t i = 0; i < chart.rows.size(); ++i) {
        const BoxRow& row = chart.rows[i];
        const double y = draw_row_title(drawing, plot, i, row.name, row.note) - 10;
        drawing.line(plot.at_x(row.q05), y, plot.at_x(row.q95), y, "whisker " + row.mark.colour);
        drawing.rectangle(plot.at_x(row.q25), y - 6, plot.at_x(row.q75) - plot.at_x(row.q25), 12,
                          "open " + row.mark.colour);
        drawing.mark(plot.at_x(row.median), y, row.mark);
    }
    return drawing.html();
}

}  // namespace lethe::report
