#include "unlearn/pictures.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "data/picture.h"

namespace lethe {
namespace {

constexpr Colour red{178, 34, 34}, green{20, 110, 50};

std::string class_name(const std::vector<std::string>& names, int64_t label) {
    const auto index = static_cast<std::size_t>(label);
    return index < names.size() ? names[index] : std::to_string(label);
}

std::string fixed(double value, int digits) {
    char text[32];
    std::snprintf(text, sizeof text, "%.*f", digits, value);
    return text;
}

// 0.5 + gain * (x_adv - x): grey is "unchanged". The gain shows three standard deviations of the change; the few larger
// ones saturate.
Tensor difference(const Tensor& x, const Tensor& x_adv, float& gain) {
    double squares = 1e-12;
    for (int64_t i = 0; i < x.numel(); ++i) squares += std::pow(double{x_adv.data()[i]} - double{x.data()[i]}, 2);
    const double deviation = std::sqrt(squares / static_cast<double>(x.numel()));
    gain = std::max(1.0f, static_cast<float>(std::round(0.5 / (3 * deviation))));
    Tensor result = Tensor::empty(x.shape());
    float* out = result.mutable_data();
    for (int64_t i = 0; i < x.numel(); ++i)
        out[i] = std::clamp(0.5f + gain * (x_adv.data()[i] - x.data()[i]), 0.0f, 1.0f);
    return result;
}

}  // namespace

void write_attack_sheet(const std::filesystem::path& path, const Tensor& originals, const std::vector<int64_t>& labels,
                        const ImageRows& rows, const std::vector<int64_t>& targets,
                        const std::vector<PgdReport>& report, const std::vector<std::string>& class_names,
                        int64_t limit) {
    const int64_t shown = std::min(limit, originals.dim(0));
    const Tensor adversarial = rows.rows(0, shown);
    Sheet sheet;
    sheet.title = "Images to forget and their adversarial twins";
    for (int64_t group = 0; group < std::min<int64_t>(2, originals.dim(0)); ++group)
        sheet.column_titles.insert(sheet.column_titles.end(), {"original", "adversarial", "difference"});
    for (int64_t i = 0; i < shown; ++i) {
        const auto row = static_cast<std::size_t>(i);
        float gain = 1;
        const Tensor delta = difference(originals.rows(i, i + 1), adversarial.rows(i, i + 1), gain);
        const bool hit = report[row].success;
        if (i % 2 == 0) sheet.rows.emplace_back();
        const SheetCell cells[] = {
            {originals, i, "label\n" + class_name(class_names, labels[row])},
            {adversarial, i,
             "target " + class_name(class_names, targets[row]) + "\nseen as " +
                 class_name(class_names, report[row].predicted),
             hit ? green : red},
            {delta, 0, "norm " + fixed(double{report[row].norm}, 2) + "\nx " + fixed(double{gain}, 0)},
        };
        sheet.rows.back().insert(sheet.rows.back().end(), std::begin(cells), std::end(cells));
    }
    write_sheet(path, sheet, 3);
}

void write_inverted_sheet(const std::filesystem::path& path, const Inversion& inversion,
                          const std::vector<std::string>& class_names) {
    const auto columns = std::min<int64_t>({10, static_cast<int64_t>(class_names.size()), inversion.images.dim(0)});
    const auto classes = static_cast<int64_t>(class_names.size());
    Sheet sheet;
    sheet.title = "Inverted images: made of the model, from patches of D_f";
    for (int64_t row = 0; row < 3; ++row) {
        std::vector<SheetCell> cells;
        for (int64_t column = 0; column < columns; ++column) {
            const int64_t image = row * classes + column;
            if (image < inversion.images.dim(0))
                cells.push_back({inversion.images, image,
                                 class_name(class_names, inversion.labels[static_cast<std::size_t>(image)])});
        }
        if (!cells.empty()) sheet.rows.push_back(std::move(cells));
    }
    write_sheet(path, sheet, 2);
}

void write_trace_chart(const std::filesystem::path& path,
                       const std::vector<std::pair<std::string, std::vector<StepTrace>>>& traces, int64_t forget_size) {
    Chart accuracy{.title = "Images of D_f still recognised",
                   .x_label = "step",
                   .y_label = "of " + std::to_string(forget_size),
                   .series = {},
                   .y_min = 0,
                   .y_max = static_cast<double>(forget_size),
                   .log_x = true};
    Chart margin{
        .title = "Mean margin of the true label", .x_label = "step", .y_label = "logits", .series = {}, .log_x = true};
    for (const auto& [method, trace] : traces) {
        Series recognised{method, {}, {}}, margins{method, {}, {}};
        for (const StepTrace& step : trace) {
            recognised.x.push_back(static_cast<double>(step.step));
            recognised.y.push_back(static_cast<double>(step.forget_correct));
            margins.x.push_back(static_cast<double>(step.step));
            margins.y.push_back(step.mean_margin);
        }
        accuracy.series.push_back(std::move(recognised));
        margin.series.push_back(std::move(margins));
    }
    write_chart(path, {accuracy, margin});
}

void write_result_bars(const std::filesystem::path& path, const std::vector<ResultBars>& rows, bool corrects) {
    constexpr int left = 150, bar = 14, gap = 3, group = 3 * (bar + gap) + 16, full = 560, top = 84;  // pixels
    constexpr Colour text{40, 40, 40}, grid{225, 225, 225};
    constexpr Colour forget{213, 94, 0}, retain{0, 114, 178}, test{0, 158, 115};  // Okabe and Ito's, colour-blind safe
    Canvas canvas(left + full + 90, top + static_cast<int>(rows.size()) * group + 30);
    canvas.text(15, 14, corrects ? "Recognised, in percent" : "Still recognised, in percent", text, 2);
    int x = left;
    for (const auto& [label, colour] : {std::pair(corrects ? "D_f, to be corrected" : "D_f, to be forgotten", forget),
                                        std::pair("D_r, retained", retain), std::pair("D_test", test)}) {
        canvas.rectangle(x, 50, 12, 12, colour);
        canvas.text(x + 18, 52, label, text);
        x += 40 + Canvas::text_width(label);
    }
    const int bottom = top + static_cast<int>(rows.size()) * group;
    for (int percent = 0; percent <= 100; percent += 20) {
        const int at = left + full * percent / 100;
        canvas.rectangle(at, top - 8, 1, bottom - top + 4, grid);
        const std::string number = std::to_string(percent);
        canvas.text(at - Canvas::text_width(number) / 2, bottom + 6, number, text);
    }
    int y = top;
    for (const ResultBars& row : rows) {
        canvas.text(15, y + bar + gap, row.method, text);
        for (const auto& [value, colour] :
             {std::pair(row.forget, forget), std::pair(row.retain, retain), std::pair(row.test, test)}) {
            const int width = static_cast<int>(std::lround(full * value / 100));
            canvas.rectangle(left, y, std::max(width, 1), bar, colour);
            canvas.text(left + width + 8, y + 3, fixed(value, 1), text);
            y += bar + gap;
        }
        y += group - 3 * (bar + gap);
    }
    canvas.write_png(path);
}

}  // namespace lethe
