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

// 0.5 + gain * (x_adv - x), so that grey is "unchanged"; the gain makes the largest change of the image visible.
Tensor difference(const Tensor& x, const Tensor& x_adv, float& gain) {
    float largest = 1e-6f;
    for (int64_t i = 0; i < x.numel(); ++i) largest = std::max(largest, std::fabs(x_adv.data()[i] - x.data()[i]));
    gain = std::max(1.0f, std::floor(0.5f / largest));
    Tensor result = Tensor::empty(x.shape());
    float* out = result.mutable_data();
    for (int64_t i = 0; i < x.numel(); ++i)
        out[i] = std::clamp(0.5f + gain * (x_adv.data()[i] - x.data()[i]), 0.0f, 1.0f);
    return result;
}

}  // namespace

void write_attack_sheet(const std::filesystem::path& path, const Tensor& originals, const std::vector<int64_t>& labels,
                        const Tensor& adversarial, const std::vector<int64_t>& targets,
                        const std::vector<PgdReport>& report, const std::vector<std::string>& class_names,
                        int64_t limit) {
    Sheet sheet;
    sheet.title = "Images to forget, their adversarial twins, and the difference";
    sheet.column_titles = {"original", "adversarial", "difference"};
    for (int64_t i = 0; i < std::min(limit, originals.dim(0)); ++i) {
        const auto row = static_cast<std::size_t>(i);
        float gain = 1;
        const Tensor delta = difference(originals.rows(i, i + 1), adversarial.rows(i, i + 1), gain);
        const bool hit = report[row].success;
        sheet.rows.push_back({
            {originals, i, "label\n" + class_name(class_names, labels[row])},
            {adversarial, i,
             "target " + class_name(class_names, targets[row]) + "\nseen as " +
                 class_name(class_names, report[row].predicted),
             hit ? green : red},
            {delta, 0, "norm " + fixed(double{report[row].norm}, 2) + "\nx " + fixed(double{gain}, 0)},
        });
    }
    write_sheet(path, sheet, 3);
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

}  // namespace lethe
