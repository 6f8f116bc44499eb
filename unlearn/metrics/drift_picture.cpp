#include <algorithm>
#include <cmath>

#include "data/picture.h"
#include "tensor/error.h"
#include "unlearn/metrics/drift.h"

namespace lethe {
namespace {

constexpr int cell = 11, line_height = 13, strip = static_cast<int>(drift_bins) * cell, strip_gap = 24,
              drift_left = 250,
              drift_top = 66;                                                     // pixels
constexpr Colour drift_ink{40, 40, 40}, counted{0, 114, 178}, moved{213, 94, 0};  // Okabe and Ito's

// White at 0 and at a ten-thousandth of `largest`, `colour` at `largest`.
Colour shade(double value, double largest, const Colour& colour) {
    const double depth = value > 0 && largest > 0 ? std::clamp(1 + std::log10(value / largest) / 4, 0.0, 1.0) : 0;
    Colour result;
    for (std::size_t c = 0; c < 3; ++c)
        result[c] = static_cast<uint8_t>(std::lround(255 + depth * (static_cast<double>(colour[c]) - 255)));
    return result;
}

template <class Values>
void draw_strip(Canvas& canvas, int x, int y, const Values& values, double largest, const Colour& colour) {
    for (std::size_t j = 0; j < values.size(); ++j) {
        canvas.rectangle(x + static_cast<int>(j) * cell, y, cell, line_height - 2, {225, 225, 225});
        canvas.rectangle(x + static_cast<int>(j) * cell, y, cell - 1, line_height - 3,
                         shade(static_cast<double>(values[j]), largest, colour));
    }
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
    canvas.text(column(1), drift_top - 30, "min-max, 0 .. 1", drift_ink);
    for (std::size_t i = 0; i < models.size(); ++i) {
        canvas.text(column(2 + i), drift_top - 30, models[i].first, drift_ink);
        canvas.text(column(2 + i), drift_top - 16, "0 .. 1", drift_ink);
    }
    for (std::size_t line = 0; line < lines; ++line) {
        const int y = drift_top + static_cast<int>(line) * line_height;
        const ImportanceSpread& spread = importance[line];
        int64_t count = 0;
        for (const int64_t values : spread.tenths) count += values;
        canvas.text(15, y + 1, spread.name, drift_ink);
        draw_strip(canvas, column(0), y, spread.decades, static_cast<double>(count), counted);
        draw_strip(canvas, column(1), y, spread.tenths, static_cast<double>(count), counted);
        for (std::size_t i = 0; i < models.size(); ++i)
            draw_strip(canvas, column(2 + i), y, models[i].second.tensors[line].mean_move,
                       largest_move(models[i].second), moved);
    }
    canvas.write_png(path);
}

}  // namespace lethe
