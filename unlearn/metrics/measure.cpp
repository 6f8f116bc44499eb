#include "unlearn/metrics/measure.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "data/split.h"
#include "tensor/error.h"
#include "unlearn/metrics/batchnorm.h"
#include "unlearn/metrics/cka.h"
#include "unlearn/metrics/distances.h"
#include "unlearn/metrics/measure_json.h"
#include "unlearn/metrics/membership.h"
#include "unlearn/metrics/metric.h"
#include "unlearn/metrics/neighbourhood.h"
#include "unlearn/metrics/probe.h"

namespace lethe {
namespace {

constexpr int64_t cka_images = 256;  // its cost grows with their square

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

Json summaries(const Tensor& logits, const std::vector<int64_t>& labels) {
    std::vector<double> margins, confidences, entropies;
    for (const RowScore& score : scores_of(logits, labels)) margins.push_back(score.margin);
    for (const OutputFeatures& row : output_features(logits, labels)) {
        confidences.push_back(row.confidence);
        entropies.push_back(row.entropy);
    }
    return {{"margin", to_json(quantiles_of(margins))},
            {"confidence", to_json(quantiles_of(confidences))},
            {"entropy", to_json(quantiles_of(entropies))}};
}

// At most cka_images of the rows, evenly spread.
Tensor spread_rows(const Tensor& rows) {
    std::vector<int64_t> all(static_cast<std::size_t>(rows.dim(0)));
    std::iota(all.begin(), all.end(), int64_t{0});
    return ImageRows(rows).gather(evenly_spread(all, cka_images));
}

Accuracy share_right(const std::vector<int64_t>& given, const std::vector<int64_t>& labels) {
    Accuracy accuracy{0, static_cast<int64_t>(labels.size())};
    for (std::size_t i = 0; i < labels.size(); ++i) accuracy.correct += given[i] == labels[i] ? 1 : 0;
    return accuracy;
}

}  // namespace

void MeasureOptions::validate() const {
    views.validate();
    relearn.validate();
    check(last_layer_lr >= 0 && std::isfinite(last_layer_lr), "measure: the last layer's learning rate must be >= 0");
    check(folds >= 2, "measure: folds must be >= 2, got ", folds);
    check(limit == 0 || limit >= 4, "measure: limit must be 0 (all) or at least 4 images, got ", limit);
    check(sample == 0 || sample >= 4, "measure: sample must be 0 (all) or at least 4 images, got ", sample);
    for (const std::string& metric : chosen) find_metric(metric);
}

bool MeasureOptions::wants(const std::string& metric) const {
    return chosen.empty() || std::find(chosen.begin(), chosen.end(), metric) != chosen.end();
}

bool Measurement::Outputs::finite() const { return all_finite(forget) && all_finite(retain) && all_finite(test); }

Measurement::Measurement(const Model& before, const Dataset& train, const Dataset& test, std::vector<int64_t> forget,
                         const MeasureOptions& options)
    : before_(before), train_(train), test_(test), options_(options), forget_(std::move(forget)) {
    options_.validate();
    check(!forget_.empty(), "measure: the forget set is empty");
    std::vector<int64_t> not_retained = options_.earlier;
    not_retained.insert(not_retained.end(), forget_.begin(), forget_.end());
    retain_ = evenly_spread(complement(not_retained, train.size()), options_.limit);
    tested_ = evenly_spread(all_indices(test), options_.limit);
    check(retain_.size() >= 4 && tested_.size() >= 4, "measure: ", retain_.size(), " retained and ", tested_.size(),
          " test images; at least 4 of both are needed to compare with");
    forget_labels_ = labels_at(train, forget_);
    retain_labels_ = labels_at(train, retain_);
    test_labels_ = labels_at(test, tested_);
    for (const int64_t index : forget_) items_.push_back(static_cast<uint64_t>(index));
    images_ = train.images(forget_);
    const std::vector<int64_t> retained = evenly_spread(retain_, options_.sample);
    const std::vector<int64_t> tested = evenly_spread(tested_, options_.sample);
    retain_sample_ = train.images(retained);
    test_sample_ = test.images(tested);
    retain_sample_labels_ = labels_at(train, retained);
    test_sample_labels_ = labels_at(test, tested);

    const std::unique_ptr<Model> twin = fold_batchnorm(before);
    outputs_before_ = outputs_of(*twin);
    check(outputs_before_.finite(), "measure: the model before has logits that are not finite numbers");
    relearn_goal_ = std::max<int64_t>(1, evaluate_logits(outputs_before_.forget, forget_labels_).accuracy.correct);
    layers_before_ = layers_of(*twin);
    if (options_.wants("over-unlearning")) {
        neighbours_ =
            neighbours_of(*twin, images_, forget_labels_, {.draws = options_.views.draws, .seed = options_.seed});
        neighbours_before_ = predict(*twin, neighbours_);
    }
    if (options_.wants("zrf")) {
        Model random(before.spec(), options_.seed);
        random.to(before.device());
        const auto untrained = fold_batchnorm(random);
        random_forget_ = predict(*untrained, images_);
        random_test_ = predict(*untrained, test, tested_);
    }
}

void Measurement::set_oracle(const Model& oracle) {
    const Outputs outputs = outputs_of(*fold_batchnorm(oracle));
    check(outputs.finite(), "measure: the retrained model has logits that are not finite numbers");
    oracle_ = outputs;
}

void Measurement::set_importance(StateDict importance) { importance_ = std::move(importance); }

void Measurement::set_attack(const ImageRows& rows, std::vector<int64_t> targets, std::vector<bool> hits) {
    attack_ = AttackSet{images_, forget_labels_, rows, std::move(targets), std::move(hits)};
}

Measurement::Outputs Measurement::outputs_of(Model& twin) const {
    return {predict(twin, images_), predict(twin, train_, retain_), predict(twin, test_, tested_)};
}

Measurement::Layers Measurement::layers_of(Model& twin) const {
    if (!options_.wants("cka") && !options_.wants("knn-probe") && !options_.wants("linear-probe")) return {};
    return {features(twin, images_), features(twin, retain_sample_), features(twin, test_sample_)};
}

Json Measurement::accuracies_of(Model& twin) const {
    const auto accuracy = [&](const Tensor& images, const std::vector<int64_t>& labels) {
        return to_json(evaluate_logits(predict(twin, images), labels).accuracy);
    };
    return {{"D_f", accuracy(images_, forget_labels_)},
            {"D_r", accuracy(retain_sample_, retain_sample_labels_)},
            {"D_test", accuracy(test_sample_, test_sample_labels_)}};
}

std::vector<double> Measurement::accuracies(const Outputs& outputs) const {
    return {evaluate_logits(outputs.forget, forget_labels_).accuracy.percent() / 100,
            evaluate_logits(outputs.retain, retain_labels_).accuracy.percent() / 100,
            evaluate_logits(outputs.test, test_labels_).accuracy.percent() / 100};
}

Json Measurement::reemergence_of(const Arm& arm) {
    const Reemergence result = reemergence(arm.twin, images_, forget_labels_, items_, options_.views);
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

Json Measurement::loss_attack(const Arm& arm) {
    const std::vector<double> test = minus_losses(arm.outputs.test, test_labels_);
    return {{"forget", to_json(threshold_attack(minus_losses(arm.outputs.forget, forget_labels_), test))},
            {"retain", to_json(threshold_attack(minus_losses(arm.outputs.retain, retain_labels_), test))}};
}

Json Measurement::logistic(const Arm& arm) {
    const auto fewest = static_cast<int64_t>(std::min(forget_.size(), tested_.size()));
    const int64_t folds = std::min(options_.folds, fewest);
    if (folds < 2) return {};  // null: one image cannot be held out of itself
    return {{"balanced_accuracy", logistic_attack(minus_losses(arm.outputs.forget, forget_labels_),
                                                  minus_losses(arm.outputs.test, test_labels_), folds, options_.seed)},
            {"folds", folds}};
}

Json Measurement::svc(const Arm& arm) {
    Json list = Json::array();
    for (const SvcAttack& attack : svc_attack(output_features(arm.outputs.forget, forget_labels_),
                                              output_features(arm.outputs.retain, retain_labels_),
                                              output_features(arm.outputs.test, test_labels_), options_.seed))
        list.push_back({{"feature", attack.feature},
                        {"forget_out", attack.forget_out},
                        {"test_out", attack.test_out},
                        {"accuracy", attack.accuracy}});
    return list;
}

Json Measurement::relearn_all(const Arm& arm) {
    return to_json(relearn(arm.model, images_, forget_labels_, relearn_goal_, options_.relearn));
}

Json Measurement::relearn_last(const Arm& arm) {
    RelearnOptions options = options_.relearn;
    options.last_layer_only = true;
    options.optimizer.lr = options_.last_layer_lr;
    return to_json(relearn(arm.model, images_, forget_labels_, relearn_goal_, options));
}

Json Measurement::margins(const Arm& arm) {
    return {{"forget", summaries(arm.outputs.forget, forget_labels_)},
            {"retain", summaries(arm.outputs.retain, retain_labels_)},
            {"test", summaries(arm.outputs.test, test_labels_)}};
}

Json Measurement::activation(const Arm& arm) {
    return {{"forget", activation_distance(arm.outputs.forget, outputs_before_.forget)},
            {"retain", activation_distance(arm.outputs.retain, outputs_before_.retain)},
            {"test", activation_distance(arm.outputs.test, outputs_before_.test)}};
}

Json Measurement::zero_retrain(const Arm& arm) {
    return {{"forget", zrf(arm.outputs.forget, random_forget_)}, {"test", zrf(arm.outputs.test, random_test_)}};
}

Json Measurement::retrain_free(const Arm& arm) {
    return {{"value",
             or_null(retrain_free_jsd({arm.outputs.forget, forget_labels_}, {outputs_before_.test, test_labels_}))}};
}

Json Measurement::neighbours(const Arm& arm) {
    const OverUnlearning result = over_unlearning(neighbours_before_, predict(arm.twin, neighbours_), forget_labels_);
    return {{"divergence", result.divergence},
            {"crossed", result.crossed},
            {"changed", result.changed},
            {"total", result.total}};
}

Json Measurement::cka(const Arm& arm) {
    const auto alike = [](const Features& now, const Features& then, std::size_t block) {
        return or_null(linear_cka(spread_rows(now.values[block]), spread_rows(then.values[block])));
    };
    Json layers = Json::array();
    for (std::size_t block = 0; block < arm.layers.forget.blocks.size(); ++block)
        layers.push_back({{"layer", arm.layers.forget.blocks[block]},
                          {"forget", alike(arm.layers.forget, layers_before_.forget, block)},
                          {"retain", alike(arm.layers.retain, layers_before_.retain, block)},
                          {"test", alike(arm.layers.test, layers_before_.test, block)}});
    return {{"images",
             {{"forget", std::min(cka_images, images_.dim(0))},
              {"retain", std::min(cka_images, retain_sample_.dim(0))},
              {"test", std::min(cka_images, test_sample_.dim(0))}}},
            {"layers", layers}};
}

Json Measurement::nearest(const Arm& arm) {
    const LabelledFeatures known{arm.layers.retain.penultimate, retain_sample_labels_};
    return {{"forget", to_json(share_right(nearest_classes(known, arm.layers.forget.penultimate), forget_labels_))},
            {"test", to_json(share_right(nearest_classes(known, arm.layers.test.penultimate), test_sample_labels_))},
            {"k", nearest_neighbours},
            {"known", known.labels.size()}};
}

Json Measurement::linear_probe(const Arm& arm) {
    const LabelledFeatures known{arm.layers.retain.penultimate, retain_sample_labels_};
    const LinearProbe probe(known, before_.spec().classes);
    return {{"forget", to_json(share_right(probe.classify(arm.layers.forget.penultimate), forget_labels_))},
            {"test", to_json(share_right(probe.classify(arm.layers.test.penultimate), test_sample_labels_))},
            {"known", known.labels.size()}};
}

Json Measurement::batchnorm(const Arm& arm) {
    if (!has_running_statistics(before_)) return {};
    const std::unique_ptr<Model> other = arm.model.clone();
    copy_running_statistics(before_, *other);
    const Json before = accuracies_of(*fold_batchnorm(*other));
    estimate_running_statistics(*other, retain_sample_);
    return {{"own", accuracies_of(arm.twin)},
            {"before", before},
            {"estimated", accuracies_of(*fold_batchnorm(*other))},
            {"images", retain_sample_.dim(0)}};
}

Json Measurement::weights(const Arm& arm) { return to_json(weight_distance(before_.state(), arm.model.state())); }

Json Measurement::drift(const Arm& arm) {
    const DriftReport report = drift_of(importance_, before_.state(), arm.model.state());
    if (report.whole.moved > 0) drifts_.emplace_back(arm.name, report);  // before itself is no picture
    return to_json(report);
}

Json Measurement::transfer(const Arm& arm) { return to_json(attack_transfer(arm.twin, *attack_, options_.limit)); }

Json Measurement::tow(const Arm& arm) {
    const std::vector<double> accuracy = accuracies(arm.outputs), oracle = accuracies(*oracle_);
    return {{"value", tug_of_war(accuracy, oracle)},
            {"gaps", {accuracy[0] - oracle[0], accuracy[1] - oracle[1], accuracy[2] - oracle[2]}}};
}

Json Measurement::oracle_distance(const Arm& arm) {
    const auto by = [&](double (*distance)(const Tensor&, const Tensor&)) -> Json {
        return {{"forget", distance(arm.outputs.forget, oracle_->forget)},
                {"retain", distance(arm.outputs.retain, oracle_->retain)},
                {"test", distance(arm.outputs.test, oracle_->test)}};
    };
    return {{"activation", by(activation_distance)}, {"js", by(jensen_shannon)}};
}

const std::vector<std::pair<const char*, Measurement::Compute>>& Measurement::computations() {
    static const std::vector<std::pair<const char*, Compute>> list{{"reemergence", &Measurement::reemergence_of},
                                                                   {"loss-attack", &Measurement::loss_attack},
                                                                   {"logistic-attack", &Measurement::logistic},
                                                                   {"svc-attack", &Measurement::svc},
                                                                   {"relearn", &Measurement::relearn_all},
                                                                   {"relearn-last-layer", &Measurement::relearn_last},
                                                                   {"knn-probe", &Measurement::nearest},
                                                                   {"linear-probe", &Measurement::linear_probe},
                                                                   {"cka", &Measurement::cka},
                                                                   {"batchnorm", &Measurement::batchnorm},
                                                                   {"margins", &Measurement::margins},
                                                                   {"activation-distance", &Measurement::activation},
                                                                   {"zrf", &Measurement::zero_retrain},
                                                                   {"rf-jsd", &Measurement::retrain_free},
                                                                   {"over-unlearning", &Measurement::neighbours},
                                                                   {"weight-distance", &Measurement::weights},
                                                                   {"drift", &Measurement::drift},
                                                                   {"attack-transfer", &Measurement::transfer},
                                                                   {"oracle-distance", &Measurement::oracle_distance},
                                                                   {"tow", &Measurement::tow}};
    return list;
}

bool Measurement::applies(const std::string& metric) const {
    if (metric == "tow" || metric == "oracle-distance") return oracle_.has_value();
    if (metric == "drift") return !importance_.empty();
    return metric != "attack-transfer" || attack_;
}

Json Measurement::measure(const std::string& name, const Model& model) {
    Json json{{"arm", name}};
    const std::unique_ptr<Model> twin = fold_batchnorm(model);
    Arm arm{.name = name, .model = model, .twin = *twin, .outputs = outputs_of(*twin), .layers = {}};
    json["diverged"] = !arm.outputs.finite();
    if (!arm.outputs.finite()) return json;
    arm.layers = layers_of(*twin);
    json["D_f"] = to_json(evaluate_logits(arm.outputs.forget, forget_labels_).accuracy);
    json["D_r"] = to_json(evaluate_logits(arm.outputs.retain, retain_labels_).accuracy);
    json["D_test"] = to_json(evaluate_logits(arm.outputs.test, test_labels_).accuracy);
    for (const auto& [metric, compute] : computations())
        if (options_.wants(metric) && applies(metric)) json[metric] = (this->*compute)(arm);
    return json;
}

Json Measurement::run_json() const {
    Json json = Json::object();
    if (attack_) json["attack"] = to_json(attack_quality(*attack_));
    if (!importance_.empty()) json["importance"] = to_json(importance_spread(importance_));
    return json;
}

bool Measurement::draw_drift(const std::filesystem::path& path) const {
    if (drifts_.empty()) return false;
    write_drift_picture(path, importance_spread(importance_), drifts_);
    return true;
}

}  // namespace lethe
