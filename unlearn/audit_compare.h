// Comparing what a run's files claim with what was computed again.
#pragma once

#include <string>
#include <vector>

#include "unlearn/run_directory.h"

namespace lethe {

// Appends a sentence for everything in which `claimed` differs from `recomputed`; `where` names the file. Counts, texts
// and lists must be equal. Numbers that are no counts (losses, margins, norms) may differ by `tolerance` times max(1,
// |number|); 0: not at all. After the first few differences it says how many more there are.
void compare_json(const Json& claimed, const Json& recomputed, const std::string& where, double tolerance,
                  std::vector<std::string>& findings);

}  // namespace lethe
