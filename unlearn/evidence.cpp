#include "unlearn/evidence.h"

#include <algorithm>
#include <cmath>
#include <iterator>

#include "tensor/error.h"
#include "unlearn/image_set.h"
#include "unlearn/statistics.h"

namespace lethe {
namespace {

Json to_json(const ImageView& view) {
    return {
        {"predicted", view.predicted}, {"probability", view.probability}, {"rank", view.rank}, {"margin", view.margin}};
}

Json changes_json(const EvaluatedSet& set) {
    const Changes changes = changes_of(set.before.wrong, set.after.wrong);
    Json classes = Json::array();
    for (const std::string& name : set.data.class_names)
        classes.push_back({{"class", name}, {"right_to_wrong", 0}, {"wrong_to_right", 0}});
    const auto count = [&](const std::vector<int64_t>& indices, const char* key) {
        for (const int64_t index : indices) {
            const auto label = static_cast<std::size_t>(set.data.labels[static_cast<std::size_t>(index)]);
            classes[label][key] = classes[label][key].get<int64_t>() + 1;
        }
    };
    count(changes.right_to_wrong, "right_to_wrong");
    count(changes.wrong_to_right, "wrong_to_right");
    const auto lost = static_cast<int64_t>(changes.right_to_wrong.size());
    const auto gained = static_cast<int64_t>(changes.wrong_to_right.size());
    return {
        {"images", set.after.accuracy.total},      {"lost", lost},         {"gained", gained},
        {"p_value", mcnemar_exact(lost, gained)},  {"per_class", classes}, {"right_to_wrong", changes.right_to_wrong},
        {"wrong_to_right", changes.wrong_to_right}};
}

// -1 is null.
Json step_or_null(int64_t step) { return step < 0 ? Json() : Json(step); }

}  // namespace

std::vector<ImageView> views_of(const Tensor& logits, std::span<const int64_t> labels) {
    check(logits.defined() && logits.rank() == 2 && logits.dim(0) == static_cast<int64_t>(labels.size()),
          "evidence: logits must be [N,C] with a label for each row");
    const auto classes = static_cast<std::size_t>(logits.dim(1));
    std::vector<ImageView> views;
    for (std::size_t i = 0; i < labels.size(); ++i) {
        const std::span<const float> row = logits.values().subspan(i * classes, classes);
        const RowScore score = score_row(row, labels[i]);
        ImageView view{.predicted = score.predicted, .probability = std::exp(-score.loss), .margin = score.margin};
        if (score.finite) {
            const auto label = static_cast<std::size_t>(labels[i]);
            view.rank = 1;
            for (std::size_t c = 0; c < classes; ++c)
                if (row[c] > row[label] || (c < label && row[c] == row[label])) ++view.rank;
        }
        views.push_back(view);
    }
    return views;
}

std::string recognised_set(const std::vector<ImageView>& views, std::span<const int64_t> labels) {
    std::vector<bool> members;
    for (std::size_t i = 0; i < views.size(); ++i) members.push_back(views[i].predicted == labels[i]);
    return image_set(members);
}

Loss loss_of(bool before, const std::vector<StepTrace>& trace, std::size_t image, std::size_t images) {
    Loss loss;
    bool recognised = before;
    for (int64_t step = 0;; ++step) {
        if (recognised) {
            loss.for_good = -1;
        } else {
            if (loss.first < 0) loss.first = step;
            if (loss.for_good < 0) loss.for_good = step;
        }
        if (step == static_cast<int64_t>(trace.size())) return loss;
        recognised = members_of(trace[static_cast<std::size_t>(step)].recognised, images)[image];
    }
}

Json dossier_json(const Dataset& source, const std::vector<int64_t>& forget, const std::vector<ImageView>& before,
                  const std::vector<ImageView>& after, const std::vector<StepTrace>& trace) {
    check(before.size() == forget.size() && after.size() == forget.size(), "evidence: ", forget.size(),
          " images to forget have ", before.size(), " views before and ", after.size(), " after");
    Json images = Json::array();
    for (std::size_t i = 0; i < forget.size(); ++i) {
        const int64_t label = source.labels[static_cast<std::size_t>(forget[i])];
        const Loss loss = loss_of(before[i].predicted == label, trace, i, forget.size());
        images.push_back({{"index", forget[i]},
                          {"label", label},
                          {"class", source.class_names[static_cast<std::size_t>(label)]},
                          {"before", to_json(before[i])},
                          {"after", to_json(after[i])},
                          {"first_lost", step_or_null(loss.first)},
                          {"lost_for_good", step_or_null(loss.for_good)}});
    }
    return {{"images", images}};
}

Changes changes_of(const std::vector<int64_t>& wrong_before, const std::vector<int64_t>& wrong_after) {
    Changes changes;
    std::set_difference(wrong_after.begin(), wrong_after.end(), wrong_before.begin(), wrong_before.end(),
                        std::back_inserter(changes.right_to_wrong));
    std::set_difference(wrong_before.begin(), wrong_before.end(), wrong_after.begin(), wrong_after.end(),
                        std::back_inserter(changes.wrong_to_right));
    return changes;
}

Json collateral_json(const EvaluatedSet& retain, const EvaluatedSet& test) {
    return {{"retain", changes_json(retain)}, {"test", changes_json(test)}};
}

}  // namespace lethe
