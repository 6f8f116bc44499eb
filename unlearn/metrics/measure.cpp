#include "unlearn/metrics/measure.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "data/split.h"
#include "tensor/error.h"
#include "unlearn/metrics/distances.h"
#include "unlearn/metrics/membership.h"

namespace lethe {
namespace {

std::vector<int64_t> labels_at(const Dataset& data, const std::vector<int64_t>& indices) {
    std::vector<int64_t> labels;
    for (const int64_t index : indices) labels.push_back(data.labels[static_cast<std::size_t>(index)]);
    return labels;
}

bool all_finite(const Tensor& logits) {
    return std::all_of(logits.values().begin(), logits.values().end(), [](float z) { return std::isfinite(z); });
}

std::vector<RowScore> scores_of(const Tensor& logits, const std::vector<int64_t>& labels) {
    const auto classes = static_cast<std::size_t>(logits.dim(1));
    std::vector<RowScore> scores;
    for (std::size_t i = 0; i < labels.size(); ++i)
        scores.push_back(score_row(logits.values().subspan(i * classes, classes), labels[i]));
    return scores;
}

std::vector<double> minus_losses(const Tensor& logits, const std::vector<int64_t>& labels) {
    std::vector<double> values;
    for (const RowScore& score : scores_of(logits, labels)) values.push_back(-score.loss);
    return values;
}

Json accuracy_json(const Accuracy& accuracy) {
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

Json to_json(const TensorDistance& d) {
    return {{"name", d.name}, {"l2", d.distance}, {"relative", d.relative}, {"moved", d.moved}, {"values", d.values}};
}

Json to_json(const WeightDistance& distance) {
    Json tensors = Json::array();
    for (const TensorDistance& each : distance.tensors) tensors.push_back(to_json(each));
    return {{"parameters", to_json(distance.parameters)}, {"buffers", to_json(distance.buffers)}, {"tensors", tensors}};
}

Json summaries(const Tensor& logits, const std::vector<int64_t>& labels) {
    std::vector<double> margins, confidences, entropies;
    for (const RowScore& score : scores_of(logits, labels)) margins.push_back(score.margin);
    for (const OutputFeatures& features : output_features(logits, labels)) {
        confidences.push_back(features.confidence);
        entropies.push_back(features.entropy);
    }
    return {{"margin", to_json(quantiles_of(margins))},
            {"confidence", to_json(quantiles_of(confidences))},
            {"entropy", to_json(quantiles_of(entropies))}};
}

}  // namespace

void MeasureOptions::validate() const {
    views.validate();
    relearn.validate();
    check(folds >= 2, "measure: folds must be >= 2, got ", folds);
    check(limit == 0 || limit >= 4, "measure: limit must be 0 (all) or at least 4 images, got ", limit);
}

bool Measurement::Outputs::finite() const { return all_finite(forget) && all_finite(retain) && all_finite(test); }

Measurement::Measurement(const Model& before, const Dataset& train, const Dataset& test, std::vector<int64_t> forget,
                         const MeasureOptions& options)
    : before_(before), train_(train), test_(test), options_(options), forget_(std::move(forget)) {
    options_.validate();
    check(!forget_.empty(), "measure: the forget set is empty");
    retain_ = evenly_spread(complement(forget_, train.size()), options_.limit);
    tested_ = evenly_spread(all_indices(test), options_.limit);
    check(retain_.size() >= 4 && tested_.size() >= 4, "measure: ", retain_.size(), " retained and ", tested_.size(),
          " test images; at least 4 of both are needed to compare with");
    forget_labels_ = labels_at(train, forget_);
    retain_labels_ = labels_at(train, retain_);
    test_labels_ = labels_at(test, tested_);
    for (const int64_t index : forget_) items_.push_back(static_cast<uint64_t>(index));
    images_ = train.images(forget_);
    outputs_before_ = outputs_of(before);
    check(outputs_before_.finite(), "measure: the model before has logits that are not finite numbers");
    relearn_goal_ = std::max<int64_t>(1, evaluate_logits(outputs_before_.forget, forget_labels_).accuracy.correct);
    Model random(before.spec(), options_.seed);
    random.to(before.device());
    const auto twin = fold_batchnorm(random);
    random_forget_ = predict(*twin, images_);
    random_test_ = predict(*twin, test, tested_);
}

Measurement::Outputs Measurement::outputs_of(const Model& model) const {
    const auto twin = fold_batchnorm(model);
    return {predict(*twin, images_), predict(*twin, train_, retain_), predict(*twin, test_, tested_)};
}

std::vector<double> Measurement::accuracies(const Outputs& outputs) const {
    return {evaluate_logits(outputs.forget, forget_labels_).accuracy.percent() / 100,
            evaluate_logits(outputs.retain, retain_labels_).accuracy.percent() / 100,
            evaluate_logits(outputs.test, test_labels_).accuracy.percent() / 100};
}

void Measurement::set_oracle(const Model& oracle) {
    const Outputs outputs = outputs_of(oracle);
    check(outputs.finite(), "measure: the retrained model has logits that are not finite numbers");
    oracle_ = accuracies(outputs);
}

Json Measurement::membership(const Outputs& outputs) const {
    const std::vector<double> forget = minus_losses(outputs.forget, forget_labels_);
    const std::vector<double> retain = minus_losses(outputs.retain, retain_labels_);
    const std::vector<double> test = minus_losses(outputs.test, test_labels_);
    Json svc = Json::array();
    for (const SvcAttack& attack :
         svc_attack(output_features(outputs.forget, forget_labels_), output_features(outputs.retain, retain_labels_),
                    output_features(outputs.test, test_labels_), options_.seed))
        svc.push_back({{"feature", attack.feature},
                       {"forget_out", attack.forget_out},
                       {"test_out", attack.test_out},
                       {"accuracy", attack.accuracy}});
    const auto fewest = static_cast<int64_t>(std::min(forget.size(), test.size()));
    const int64_t folds = std::min(options_.folds, fewest);
    Json logistic;  // null: one image cannot be held out of itself
    if (folds >= 2)
        logistic = {{"balanced_accuracy", logistic_attack(forget, test, folds, options_.seed)}, {"folds", folds}};
    return {
        {"loss-attack",
         {{"forget", to_json(threshold_attack(forget, test))}, {"retain", to_json(threshold_attack(retain, test))}}},
        {"logistic-attack", logistic},
        {"svc-attack", svc}};
}

Json Measurement::margins(const Outputs& outputs) const {
    return {{"forget", summaries(outputs.forget, forget_labels_)},
            {"retain", summaries(outputs.retain, retain_labels_)},
            {"test", summaries(outputs.test, test_labels_)}};
}

Json Measurement::reemergence_of(const Model& model) const {
    const Reemergence result = reemergence(*fold_batchnorm(model), images_, forget_labels_, items_, options_.views);
    Json list = Json::array(), images = Json::array();
    for (const ViewShare& view : result.views)
        list.push_back({{"view", view.view},
                        {"hits", view.old_label.correct},
                        {"total", view.old_label.total},
                        {"share", view.old_label.percent() / 100},
                        {"changes", view.changes}});
    for (std::size_t i = 0; i < forget_.size(); ++i)
        images.push_back({{"index", forget_[i]}, {"share", result.per_image[i]}});
    return {{"mean", result.mean}, {"views", list}, {"images", images}};
}

Json Measurement::measure(const std::string& name, const Model& model) const {
    Json arm{{"arm", name}};
    const Outputs outputs = outputs_of(model);
    arm["diverged"] = !outputs.finite();
    if (!outputs.finite()) return arm;
    const std::vector<double> accuracy = accuracies(outputs);
    arm["D_f"] = accuracy_json(evaluate_logits(outputs.forget, forget_labels_).accuracy);
    arm["D_r"] = accuracy_json(evaluate_logits(outputs.retain, retain_labels_).accuracy);
    arm["D_test"] = accuracy_json(evaluate_logits(outputs.test, test_labels_).accuracy);
    arm["reemergence"] = reemergence_of(model);
    arm.update(membership(outputs));
    RelearnOptions relearning = options_.relearn;
    relearning.last_layer_only = false;
    arm["relearn"] = to_json(relearn(model, images_, forget_labels_, relearn_goal_, relearning));
    relearning.last_layer_only = true;
    arm["relearn-last-layer"] = to_json(relearn(model, images_, forget_labels_, relearn_goal_, relearning));
    arm["margins"] = margins(outputs);
    arm["activation-distance"] = {{"forget", activation_distance(outputs.forget, outputs_before_.forget)},
                                  {"retain", activation_distance(outputs.retain, outputs_before_.retain)},
                                  {"test", activation_distance(outputs.test, outputs_before_.test)}};
    arm["zrf"] = {{"forget", zrf(outputs.forget, random_forget_)}, {"test", zrf(outputs.test, random_test_)}};
    arm["weight-distance"] = to_json(weight_distance(before_.state(), model.state()));
    if (oracle_)
        arm["tow"] = {
            {"value", tug_of_war(accuracy, *oracle_)},
            {"gaps", {accuracy[0] - (*oracle_)[0], accuracy[1] - (*oracle_)[1], accuracy[2] - (*oracle_)[2]}}};
    return arm;
}

std::string measure_table(const Json& arms) {
    std::string text =
        "arm                   D_f  D_test  re-emerged  loss AUC  logistic  SVC out (test)  relearn  last layer  "
        "distance     zrf\n"
        "  good              low %  high %       low %       0.5       0.5       both same     high        high   low "
        "test   =test\n";
    for (const Json& arm : arms) {
        char line[256];
        const std::string name = arm.at("arm");
        if (arm.at("diverged")) {
            text += name + "  diverged: its answers are not numbers\n";
            continue;
        }
        const auto steps = [&](const char* key) {
            return (arm.at(key).at("reached") ? "" : "> ") + std::to_string(arm.at(key).at("steps").get<int64_t>());
        };
        const Json& svc = arm.at("svc-attack").back();
        char logistic[16] = "-";
        if (!arm.at("logistic-attack").is_null())
            std::snprintf(logistic, sizeof logistic, "%.3f",
                          arm.at("logistic-attack").at("balanced_accuracy").get<double>());
        std::snprintf(
            line, sizeof line, "%-17s %7.2f %7.2f %11.2f %9.3f %9s %8.3f (%.3f) %8s %11s %9.4f %7.3f\n", name.c_str(),
            arm.at("D_f").at("accuracy").get<double>(), arm.at("D_test").at("accuracy").get<double>(),
            100 * arm.at("reemergence").at("mean").get<double>(),
            arm.at("loss-attack").at("forget").at("auc").get<double>(), logistic, svc.at("forget_out").get<double>(),
            svc.at("test_out").get<double>(), steps("relearn").c_str(), steps("relearn-last-layer").c_str(),
            arm.at("activation-distance").at("test").get<double>(), arm.at("zrf").at("forget").get<double>());
        text += line;
    }
    return text;
}

}  // namespace lethe
