// Membership inference: can an observer of the outputs tell the forgotten images from images that were never seen?
//
// Three attacks, all on one model's outputs. In the first two D_f plays the members and test images the non-members;
// for forgetting the right answer is chance, from both sides: below it the forgotten images stand out as much as they
// did before ("Streisand effect"). In the third the attacker knows some retained images (members) and test images
// (non-members) and is asked about D_f. Every random choice comes from Purpose::fold.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "tensor/tensor.h"

namespace lethe {

// A threshold on a score: "member" where the score is above it.
struct ThresholdAttack {
    double auc = 0;                // P(member's score > non-member's) + P(equal)/2; chance 0.5
    double tpr_at_1_percent = 0;   // the most members found by a threshold that takes at most 1 % of the non-members
    double tpr_at_01_percent = 0;  // ... at most 0.1 %; needs 1000 non-members to differ from "none of them"
    double balanced_accuracy = 0;  // the best threshold's (TPR + 1 - FPR) / 2; at least 0.5, above it by luck for few
};
// Yeom, Giacomelli, Fredrikson, Jha (CSF 2018): the score is -loss. Low false positive rates: Carlini et al. (S&P
// 2022). Ties count half in the AUC, and all or none of them lie above a threshold. Throws Error unless there is at
// least one of both and no score is NaN.
ThresholdAttack threshold_attack(std::span<const double> members, std::span<const double> non_members);

// Logistic regression p(member | s) = 1 / (1 + exp(-(w s + b))) of one score, standardised, minimising
//     sum over both classes c of (n / (2 n_c)) sum_{i in c} log(1 + exp(-t_i (w s_i + b))) + w^2 / 2,   t = +1, -1
// (n = n_0 + n_1; both classes weigh the same) by Newton steps to a gradient below 1e-10.
struct LogisticFit {
    double weight = 0, bias = 0;
};
LogisticFit fit_logistic(std::span<const double> members, std::span<const double> non_members);

// Balanced accuracy of that regression on held-out scores: k folds, each holding a k-th of either class (rounded),
// fitted on the others; all held-out answers are counted together. The loss attack of the NeurIPS 2023 unlearning
// challenge's kit, with both classes weighing the same. Chance 0.5; below it is possible, and means chance, too. Throws
// Error unless 2 <= folds <= the number of either class, and as threshold_attack() does.
double logistic_attack(std::span<const double> members, std::span<const double> non_members, int64_t folds,
                       uint64_t seed);

// What the SVC attack looks at, per row of logits (p = softmax, y the label):
struct OutputFeatures {
    double correct = 0;           // 1 where y is predicted
    double confidence = 0;        // p_y
    double entropy = 0;           // -sum_j p_j log p_j
    double modified_entropy = 0;  // -(1 - p_y) log p_y - sum_{j != y} p_j log(1 - p_j)
};
// Song and Mittal (USENIX Security 2021). Computed from logits in double, 1 - p as a sum over the other classes, so
// that a confident row is neither 0 nor infinite. Throws Error for a logit that is not finite.
std::vector<OutputFeatures> output_features(const Tensor& logits, std::span<const int64_t> labels);

struct SvcAttack {
    std::string feature;    // "correct", "confidence", "entropy", "modified-entropy" or "all"
    double forget_out = 0;  // share of D_f called non-member: high is good for forgetting, as far as ...
    double test_out = 0;    // ... held-out test images are called so: what perfect forgetting gives
    double accuracy = 0;    // balanced, on held-out retained and test images: 0.5 = the attack knows nothing, and ...
                            // ... forget_out means nothing
};
// One support vector machine per feature and one on all: C = 3, RBF kernel with gamma 1 / features, on standardised
// features, as Jia et al. (NeurIPS 2023) and Fan et al. (ICLR 2024) measure it. One half of `retain` and `test` (drawn;
// as many of either) trains, the other is held out. Throws Error unless there are 4 or more of both.
std::vector<SvcAttack> svc_attack(std::span<const OutputFeatures> forget, std::span<const OutputFeatures> retain,
                                  std::span<const OutputFeatures> test, uint64_t seed);

}  // namespace lethe
