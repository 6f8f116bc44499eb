// What `lethe measure` found, made ready for a table.
#pragma once

#include "unlearn/report/records.h"

namespace lethe::report {

// An element of "arms" in metrics.json. A metric that this file knows nothing special about shows its numbers as they
// are. Throws Json::exception for what is not as lethe measure writes it.
MeasuredArm measured_arm(const Json& arm);

}  // namespace lethe::report
