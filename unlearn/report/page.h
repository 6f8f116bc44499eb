// The report: one HTML page that needs no other file and no network, for screens, dark ones too, and for paper.
#pragma once

#include <string>
#include <vector>

#include "unlearn/report/records.h"

namespace lethe::report {

inline constexpr std::size_t most_images = 100;  // of a run that are shown one by one

struct Material {
    std::vector<RunRecord> runs;
    std::vector<ExperimentRecord> experiments;
    std::vector<ContinualRecord> continuals;
};

std::string usual_title(const Material& material);  // where nobody gives another

// The same material and title make the same bytes. Throws Error where there is nothing to tell.
std::string page(const Material& material, const std::string& title);

}  // namespace lethe::report
