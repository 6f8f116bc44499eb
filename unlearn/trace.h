// Traces and checkpoints of the loops on disk.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "unlearn/train.h"
#include "unlearn/unlearn.h"

namespace lethe {

// JSON lines, one object per step with the fields of StepTrace; NaN is written as null.
void write_trace(const std::filesystem::path& path, const std::vector<StepTrace>& trace);
// The steps up to `last_step` (-1 = all). Throws Error naming the line that is not a step.
std::vector<StepTrace> read_trace(const std::filesystem::path& path, int64_t last_step);

void save_unlearn_state(const std::filesystem::path& path, const UnlearnState& state);
UnlearnState load_unlearn_state(const std::filesystem::path& path);

// `numbers`: whatever else the caller wants to know when it goes on.
void save_train_state(const std::filesystem::path& path, const TrainState& state,
                      std::map<std::string, std::string> numbers = {});
// `numbers` gets everything that was saved. Throws Error for a file that is no such checkpoint.
TrainState load_train_state(const std::filesystem::path& path, std::map<std::string, std::string>* numbers = nullptr);

}  // namespace lethe
