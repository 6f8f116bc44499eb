#include <algorithm>
#include <cmath>
#include <numeric>

#include "data/picture.h"
#include "tensor/error.h"
#include "unlearn/metrics/drift.h"

namespace lethe {
namespace {

constexpr int cell = 11, line_height = 13, strip = static_cast<int>(drift_bins) * cell, strip_gap = 24,
              drift_left = 250,
              drift_top = 66;                                                     // pixels
constexpr Colour drift_ink{40, 40, 40}, counted{0, 114, 178}, moved{213, 94, 0};  // Okabe and Ito's

// White at depth 0, `colour` at 1.
Colour shade(double depth, const Colour& colour) {
    Colour result;
    for (std::size_t c = 0; c < 3; ++c)
        result[c] = static_cast<uint8_t>(std::lround(255 + depth * (static_cast<double>(colour[c]) - 255)));
    return result;
}

// Counts differ by powers of ten: a ten-thousandth of `all` is as white as none.
double depth_of_count(int64_t count, int64_t all) {
    if (count <= 0) return 0;
    return std::max(0.0, 1 + std::log10(static_cast<double>(count) / static_cast<double>(all)) / 4);
}

void draw_cell(Canvas& canvas, int x, int y, std::size_t number, const Colour& colour) {
    x += static_cast<int>(number) * cell;
    canvas.rectangle(x, y, cell, line_height - 2, {225, 225, 225});
    canvas.rectangle(x, y, cell - 1, line_height - 3, colour);
}

void draw_counts(Canvas& canvas, int x, int y, const Counts& counts) {
    const int64_t all = std::accumulate(counts.begin(), counts.end(), int64_t{0});
    for (std::size_t j = 0; j < drift_bins; ++j)
        draw_cell(canvas, x, y, j, shade(depth_of_count(counts[j], all), counted));
}

// Grey where there is no weight that could have moved.
void draw_moves(Canvas& canvas, int x, int y, const Drift& drift, double largest) {
    for (std::size_t j = 0; j < drift_bins; ++j)
        draw_cell(canvas, x, y, j,
                  drift.values[j] == 0 ? Colour{235, 235, 235}
                                       : shade(largest > 0 ? drift.mean_move[j] / largest : 0, moved));
}

double largest_move(const DriftReport& report) {
    double largest = 0;
    for (const Drift& drift : report.tensors)
        largest = std::max(largest, *std::max_element(drift.mean_move.begin(), drift.mean_move.end()));
    return largest;
}

}  // namespace

void write_drift_picture(const std::filesystem::path& path, const std::vector<ImportanceSpread>& importance,
                         const std::vector<std::pair<std::string, DriftReport>>& models) {
    for (const auto& [name, report] : models)
        check(report.tensors.size() == importance.size(), "drift picture: ", name, " has ", report.tensors.size(),
              " tensors, the importance ", importance.size());
    const auto column = [](std::size_t i) { return drift_left + static_cast<int>(i) * (strip + strip_gap); };
    // As many lines as a picture can be high; their numbers are all in metrics.json.
    const std::size_t lines = std::min<std::size_t>(importance.size(), (16384 - drift_top - 20) / line_height);
    Canvas canvas(column(2 + models.size()), drift_top + static_cast<int>(lines) * line_height + 20);
    canvas.text(15, 12, "Importance, and where the weights moved", drift_ink, 2);
    canvas.text(column(0), drift_top - 30, "Omega, 1 .. 1e-9", drift_ink);
    canvas.text(column(1), drift_top - 30, "its min-max, 0 .. 1", drift_ink);
    for (std::size_t i = 0; i < models.size(); ++i) {
        canvas.text(column(2 + i), drift_top - 30, models[i].first, drift_ink);
        canvas.text(column(2 + i), drift_top - 16, "by min-max", drift_ink);
    }
    for (std::size_t line = 0; line < lines; ++line) {
        const int y = drift_top + static_cast<int>(line) * line_height;
        canvas.text(15, y + 1, importance[line].name, drift_ink);
        draw_counts(canvas, column(0), y, importance[line].decades);
        draw_counts(canvas, column(1), y, importance[line].tenths);
        for (std::size_t i = 0; i < models.size(); ++i)
            draw_moves(canvas, column(2 + i), y, models[i].second.tensors[line], largest_move(models[i].second));
    }
    canvas.write_png(path);
}

}  // namespace lethe
