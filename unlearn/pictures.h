// The pictures of a run.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "unlearn/image_rows.h"
#include "unlearn/inversion.h"
#include "unlearn/pgd.h"
#include "unlearn/unlearn.h"

namespace lethe {

// Original / adversarial / difference (magnified, grey = none) of at most `limit` images, two images to a row, with
// labels. adversarial rows are repeat-major: row i belongs to image i % originals.dim(0).
void write_attack_sheet(const std::filesystem::path& path, const Tensor& originals, const std::vector<int64_t>& labels,
                        const ImageRows& adversarial, const std::vector<int64_t>& targets,
                        const std::vector<PgdReport>& report, const std::vector<std::string>& class_names,
                        int64_t limit = 6);

// The first images of an inversion, a class to a column, and what they were made to be.
void write_inverted_sheet(const std::filesystem::path& path, const Inversion& inversion,
                          const std::vector<std::string>& class_names);

// D_f accuracy and mean margin against steps, one curve per method.
void write_trace_chart(const std::filesystem::path& path,
                       const std::vector<std::pair<std::string, std::vector<StepTrace>>>& traces, int64_t forget_size);

// One group of three bars per row, in percent: what is recognised of D_f, D_r and D_test.
struct ResultBars {
    std::string method;
    double forget = 0, retain = 0, test = 0;
};
// `corrects`: D_f is to be recognised, not to be forgotten.
void write_result_bars(const std::filesystem::path& path, const std::vector<ResultBars>& rows, bool corrects = false);

}  // namespace lethe
