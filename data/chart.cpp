#include <algorithm>
#include <array>
#include <cmath>

#include "data/axis.h"
#include "data/picture.h"
#include "tensor/error.h"

namespace lethe {
namespace {

constexpr Colour text_colour{40, 40, 40}, label_colour{105, 105, 105}, axis{150, 150, 150}, grid{232, 232, 232};
constexpr int chart_margin = 16, swatch = 22, legend_height = 18;

// The palette of Okabe and Ito ("Color universal design", 2008), told apart with every kind of colour vision; its
// yellow is left out because it vanishes on white.
constexpr std::array<Colour, 7> palette{
    {{0, 114, 178}, {213, 94, 0}, {0, 158, 115}, {204, 121, 167}, {230, 159, 0}, {86, 180, 233}, {0, 0, 0}}};

void check_chart(const Chart& chart) {
    for (const Series& series : chart.series) {
        check(series.x.size() == series.y.size(), "chart: series '", series.name, "' has ", series.x.size(),
              " x values and ", series.y.size(), " y values");
        for (const double x : series.x)
            check(std::isfinite(x) && (x > 0 || !chart.log_x), "chart: series '", series.name, "' has x = ", x,
                  chart.log_x ? "; a logarithmic axis needs finite values above 0" : "; x must be finite");
    }
}

// One panel: data ranges, the rectangle of the curves, and the mapping between them.
class Panel {
public:
    Panel(Canvas& canvas, const Chart& chart, int top, int height) : canvas_(canvas), chart_(chart), top_(top) {
        find_ranges();
        upper_ = top + chart_margin + (chart.title.empty() ? 0 : 28) + (chart.y_label.empty() ? 0 : 18);
        lower_ = top + height - chart_margin - 14 - (chart.x_label.empty() ? 0 : 18);
    }

    int number_width() const {
        int width = 0;
        for (const double tick : y_ticks_) width = std::max(width, Canvas::text_width(tick_label(tick)));
        return width;
    }
    int legend_width() const {
        int width = 0;
        for (const Series& series : chart_.series) width = std::max(width, Canvas::text_width(series.name));
        return width;
    }

    // Panels of one picture get the same widths, so that their curves line up.
    void place(int numbers, int legend) {
        left_ = chart_margin + numbers + 8;
        right_ = canvas_.width() - chart_margin - (legend > 0 ? legend + swatch + 22 : 12);
        check(right_ - left_ >= 40 && lower_ - upper_ >= 20, "chart: ", canvas_.width(), "x", canvas_.height(),
              " pixels are too few for these panels and their labels");
    }

    void draw() const {
        canvas_.text(chart_margin, top_ + chart_margin, chart_.title, text_colour, 2);
        canvas_.text(chart_margin, upper_ - 20, chart_.y_label, label_colour);
        canvas_.text((left_ + right_ - Canvas::text_width(chart_.x_label)) / 2, lower_ + 26, chart_.x_label,
                     label_colour);
        draw_grid();
        for (std::size_t i = 0; i < chart_.series.size(); ++i) {
            draw_series(chart_.series[i], palette[i % palette.size()]);
            draw_legend(i);
        }
    }

private:
    void find_ranges() {
        for (const Series& series : chart_.series)
            for (std::size_t i = 0; i < series.x.size(); ++i) {
                x_.include(series.x[i]);
                if (std::isfinite(series.y[i])) y_.include(series.y[i]);
            }
        widen(x_, chart_.log_x);
        const bool given = chart_.y_min < chart_.y_max;
        if (given) y_ = {chart_.y_min, chart_.y_max};
        widen(y_, false);
        const double step = nice_step(y_, 5);
        if (!given) y_ = {std::floor(y_.low / step + 1e-9) * step, std::ceil(y_.high / step - 1e-9) * step};
        y_ticks_ = linear_ticks(y_, step);
        x_ticks_ = chart_.log_x ? log_ticks(x_) : linear_ticks(x_, nice_step(x_, 8));
    }

    double map_x(double x) const {
        const double share =
            chart_.log_x ? std::log(x / x_.low) / std::log(x_.high / x_.low) : (x - x_.low) / (x_.high - x_.low);
        return left_ + share * (right_ - left_);
    }
    double map_y(double y) const { return lower_ - (y - y_.low) / (y_.high - y_.low) * (lower_ - upper_); }

    void draw_grid() const {
        for (const double tick : y_ticks_) {
            const int y = static_cast<int>(std::lround(map_y(tick)));
            canvas_.rectangle(left_, y, right_ - left_ + 1, 1, grid);
            canvas_.text(left_ - 8 - Canvas::text_width(tick_label(tick)), y - 4, tick_label(tick), label_colour);
        }
        for (const double tick : x_ticks_) {
            const int x = static_cast<int>(std::lround(map_x(tick)));
            canvas_.rectangle(x, upper_, 1, lower_ - upper_ + 1, grid);
            canvas_.rectangle(x, lower_, 1, 5, axis);
            canvas_.text(x - Canvas::text_width(tick_label(tick)) / 2, lower_ + 9, tick_label(tick), label_colour);
        }
        canvas_.rectangle(left_, upper_, 1, lower_ - upper_ + 1, axis);
        canvas_.rectangle(left_, lower_, right_ - left_ + 1, 1, axis);
    }

    // Runs of finite values as joined lines; a value alone is a dot.
    void draw_series(const Series& series, Colour colour) const {
        std::vector<std::array<double, 2>> run;
        for (std::size_t i = 0; i <= series.x.size(); ++i) {
            if (i < series.x.size() && std::isfinite(series.y[i])) {
                run.push_back({map_x(series.x[i]), map_y(series.y[i])});
                continue;
            }
            draw_run(run, colour);
            run.clear();
        }
    }

    void draw_run(const std::vector<std::array<double, 2>>& run, Colour colour) const {
        if (run.size() == 1 && inside(run[0][1])) canvas_.line(run[0][0], run[0][1], run[0][0], run[0][1], colour, 5);
        std::vector<std::array<double, 2>> visible;
        for (std::size_t i = 0; i + 1 < run.size(); ++i) {
            std::array<double, 2> from = run[i], to = run[i + 1];
            const bool seen = std::max(from[1], to[1]) >= upper_ && std::min(from[1], to[1]) <= lower_;
            if (seen) {
                cut(from, to);
                cut(to, from);
                if (visible.empty()) visible.push_back(from);
                visible.push_back(to);
            }
            if (!seen || !inside(run[i + 1][1])) {  // the curve leaves the panel here
                canvas_.polyline(visible, colour, 1.8);
                visible.clear();
            }
        }
        canvas_.polyline(visible, colour, 1.8);
    }

    bool inside(double y) const { return y >= upper_ && y <= lower_; }

    // Moves a point beyond the panel's upper or lower edge along its segment to that edge.
    void cut(std::array<double, 2>& point, const std::array<double, 2>& other) const {
        const double edge = std::clamp(point[1], static_cast<double>(upper_), static_cast<double>(lower_));
        if (inside(point[1])) return;
        point[0] += (other[0] - point[0]) * (edge - point[1]) / (other[1] - point[1]);
        point[1] = edge;
    }

    void draw_legend(std::size_t index) const {
        const std::string& name = chart_.series[index].name;
        if (name.empty()) return;
        const int x = right_ + 14, y = upper_ + 4 + static_cast<int>(index) * legend_height;
        canvas_.line(x, y + 4, x + swatch - 6, y + 4, palette[index % palette.size()], 3);
        canvas_.text(x + swatch + 2, y, name, text_colour);
    }

    Canvas& canvas_;
    const Chart& chart_;
    int top_, left_ = 0, right_ = 0, upper_ = 0, lower_ = 0;
    Range x_, y_;
    std::vector<double> x_ticks_, y_ticks_;
};

}  // namespace

void write_chart(const std::filesystem::path& path, const std::vector<Chart>& panels, int width, int panel_height) {
    check(!panels.empty(), "chart: there is nothing to draw");
    for (const Chart& chart : panels) check_chart(chart);
    Canvas canvas(width, panel_height * static_cast<int>(panels.size()));
    std::vector<Panel> drawn;
    int numbers = 0, legend = 0;
    for (const Chart& chart : panels) {
        drawn.emplace_back(canvas, chart, static_cast<int>(drawn.size()) * panel_height, panel_height);
        numbers = std::max(numbers, drawn.back().number_width());
        legend = std::max(legend, drawn.back().legend_width());
    }
    for (Panel& panel : drawn) {
        panel.place(numbers, legend);
        panel.draw();
    }
    canvas.write_png(path);
}

}  // namespace lethe
