// The metrics' results as they stand in metrics.json.
#pragma once

#include "unlearn/metrics.h"
#include "unlearn/metrics/attack_sheet.h"
#include "unlearn/metrics/distances.h"
#include "unlearn/metrics/drift.h"
#include "unlearn/metrics/membership.h"
#include "unlearn/metrics/relearn.h"
#include "unlearn/run_directory.h"

namespace lethe {

Json to_json(const Accuracy& accuracy);
Json to_json(const ThresholdAttack& attack);
Json to_json(const Relearning& relearning);
Json to_json(const Quantiles& quantiles);
Json to_json(const WeightDistance& distance);
Json to_json(const std::vector<ImportanceSpread>& importance);
Json to_json(const DriftReport& report);
Json to_json(const AttackQuality& quality);
Json to_json(const AttackTransfer& transfer);
Json or_null(const std::optional<double>& value);

}  // namespace lethe
