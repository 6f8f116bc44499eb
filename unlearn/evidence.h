// Evidence for single images: what became of each image of D_f, and which other images an unlearned model answers
// differently from the model before.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "unlearn/metrics.h"
#include "unlearn/run_directory.h"
#include "unlearn/unlearn.h"

namespace lethe {

// How a model sees an image. Where a logit is no finite number, probability and margin are NaN and rank is 0.
struct ImageView {
    int64_t predicted = -1;  // as RowScore
    double probability = 0;  // of the label, softmax
    int64_t rank = 0;        // of the label: 1 is the prediction; of equal logits the first class comes first
    double margin = 0;       // label's logit minus the best other
};
std::vector<ImageView> views_of(const Tensor& logits, std::span<const int64_t> labels);  // logits [N,C]

// The images that are given their label, as image_set().
std::string recognised_set(const std::vector<ImageView>& views, std::span<const int64_t> labels);

// When an image was no longer given its true label. Step 0 is the model before, -1 is never.
struct Loss {
    int64_t first = -1;     // the first step after which it was not
    int64_t for_good = -1;  // the first step after which it was not, and never again
};
// `before`: the model before recognises it; `image`: its place in D_f of `images` images. Throws Error for a trace
// whose sets are of other sizes.
Loss loss_of(bool before, const std::vector<StepTrace>& trace, std::size_t image, std::size_t images);

// METHOD/dossier.json; `source` is the set of D_f, views and `forget` in D_f's order, views against the true labels.
Json dossier_json(const Dataset& source, const std::vector<int64_t>& forget, const std::vector<ImageView>& before,
                  const std::vector<ImageView>& after, const std::vector<StepTrace>& trace);

// Images of one set that changed sides, ascending, from the ascending lists of those that are wrong.
struct Changes {
    std::vector<int64_t> right_to_wrong, wrong_to_right;
};
Changes changes_of(const std::vector<int64_t>& wrong_before, const std::vector<int64_t>& wrong_after);

// METHOD/collateral.json: the changes among the images of D_r that were evaluated and among D_test.
struct EvaluatedSet {
    const Dataset& data;
    const Evaluation &before, &after;
};
Json collateral_json(const EvaluatedSet& retain, const EvaluatedSet& test);

}  // namespace lethe
