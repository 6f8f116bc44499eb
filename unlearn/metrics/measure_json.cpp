#include "unlearn/metrics/measure_json.h"

namespace lethe {
namespace {

Json distance_json(const TensorDistance& d) {
    return {{"name", d.name}, {"l2", d.distance}, {"relative", d.relative}, {"moved", d.moved}, {"values", d.values}};
}

Json drift_json(const Drift& drift) {
    return {{"name", drift.name},           {"protected_share", drift.protected_share},
            {"expected", drift.expected},   {"l2_squared", drift.moved},
            {"mean_move", drift.mean_move}, {"values", drift.values}};
}

}  // namespace

Json to_json(const Accuracy& accuracy) {
    return {{"correct", accuracy.correct}, {"total", accuracy.total}, {"accuracy", accuracy.percent()}};
}

Json to_json(const ThresholdAttack& attack) {
    return {{"auc", attack.auc},
            {"tpr_at_fpr_1_percent", attack.tpr_at_1_percent},
            {"tpr_at_fpr_0.1_percent", attack.tpr_at_01_percent},
            {"balanced_accuracy", attack.balanced_accuracy}};
}

Json to_json(const Relearning& relearning) {
    return {{"steps", relearning.steps},
            {"reached", relearning.reached},
            {"finite", relearning.finite},
            {"correct", relearning.correct}};
}

Json to_json(const Quantiles& s) {
    return {{"min", s.minimum}, {"q05", s.q05}, {"q25", s.q25},     {"median", s.median},
            {"q75", s.q75},     {"q95", s.q95}, {"max", s.maximum}, {"mean", s.mean}};
}

Json to_json(const WeightDistance& distance) {
    Json tensors = Json::array();
    for (const TensorDistance& each : distance.tensors) tensors.push_back(distance_json(each));
    return {{"parameters", distance_json(distance.parameters)},
            {"buffers", distance_json(distance.buffers)},
            {"tensors", tensors}};
}

Json to_json(const std::vector<ImportanceSpread>& importance) {
    Json tensors = Json::array();
    for (const ImportanceSpread& spread : importance)
        tensors.push_back({{"name", spread.name},
                           {"largest", spread.largest},
                           {"degenerate", spread.degenerate},
                           {"decades", spread.decades},
                           {"tenths", spread.tenths}});
    return tensors;
}

Json to_json(const DriftReport& report) {
    Json tensors = Json::array();
    for (const Drift& drift : report.tensors) tensors.push_back(drift_json(drift));
    return {{"whole", drift_json(report.whole)}, {"tensors", tensors}};
}

Json to_json(const AttackQuality& quality) {
    Json targets = Json::array();
    int64_t rows = 0, hits = 0;
    for (const TargetHits& each : quality.targets) {
        rows += each.rows;
        hits += each.hits;
        targets.push_back({{"target", each.target}, {"rows", each.rows}, {"hits", each.hits}});
    }
    return {{"rows", rows},
            {"hits", hits},
            {"own_label", quality.own_label},
            {"targets", targets},
            {"l2", to_json(quality.l2)},
            {"linf", to_json(quality.linf)}};
}

Json to_json(const AttackTransfer& transfer) {
    return {{"rows", transfer.rows},
            {"target", transfer.target},
            {"label", transfer.label},
            {"confidence", to_json(transfer.confidence)}};
}

Json or_null(const std::optional<double>& value) { return value ? Json(*value) : Json(); }

}  // namespace lethe
