// Traces and checkpoints of the unlearning loop on disk.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "unlearn/unlearn.h"

namespace lethe {

// JSON lines, one object per step with the fields of StepTrace; NaN is written as null.
void write_trace(const std::filesystem::path& path, const std::vector<StepTrace>& trace);
// The steps up to `last_step` (-1 = all). Throws Error naming the line that is not a step.
std::vector<StepTrace> read_trace(const std::filesystem::path& path, int64_t last_step);

void save_unlearn_state(const std::filesystem::path& path, const UnlearnState& state);
UnlearnState load_unlearn_state(const std::filesystem::path& path);

}  // namespace lethe
