// What a model does with a set of images.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "data/dataset.h"
#include "nn/model.h"

namespace lethe {

// One row of logits against its label.
struct RowScore {
    int64_t predicted = -1;  // the largest logit, the first of equals; -1 where one is NaN
    double loss = 0;         // cross entropy
    double margin = 0;       // z_label - max_{j != label} z_j
    bool finite = true;      // where false, loss and margin are NaN
};
RowScore score_row(std::span<const float> logits, int64_t label);  // throws Error for a label out of range

// log of the sum of exp(z), in double and with the maximum taken out; -log softmax(z)_j is this minus z_j.
double log_sum_exp(std::span<const float> logits);

struct Accuracy {
    int64_t correct = 0, total = 0;
    double percent() const { return total > 0 ? 100.0 * static_cast<double>(correct) / static_cast<double>(total) : 0; }
};

struct Evaluation {
    Accuracy accuracy;
    double loss = 0;         // mean cross entropy
    double mean_margin = 0;  // mean of z_y - max_{j != y} z_j; negative where the label is no longer predicted
    double min_margin = 0, max_margin = 0;
    bool finite = true;  // every logit is a finite number
    std::vector<Accuracy> per_class;
    std::vector<int64_t> wrong;  // dataset indices the model gets wrong, ascending; a NaN logit counts as wrong
};

// From logits [N,C] and labels; `indices` names the rows in `wrong` (0..N-1 when empty). A row with a NaN is wrong
// whatever its label.
Evaluation evaluate_logits(const Tensor& logits, std::span<const int64_t> labels,
                           std::span<const int64_t> indices = {});

// Logits [n,classes] of images of a dataset through a folded twin, a bounded number of images at a time and the next
// ones decoded meanwhile. progress(images_done) may be empty.
Tensor predict(Model& twin, const Dataset& data, std::span<const int64_t> indices,
               const std::function<void(int64_t)>& progress = {});
// evaluate_logits() of them.
Evaluation evaluate(Model& twin, const Dataset& data, std::span<const int64_t> indices,
                    const std::function<void(int64_t)>& progress = {});
// All images of a dataset.
std::vector<int64_t> all_indices(const Dataset& data);

}  // namespace lethe
