// Over-unlearning, OU@eps (Ha, Park and Yoon, "Unlearning's blind spots", ICML 2026, arXiv 2506.01318): what became of
// the answers to images that lie around the forgotten ones and across their decision boundary.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "nn/model.h"

namespace lethe {

// Neighbours as the authors' code makes them: x' = x + u, u uniform in [-eps, eps], then `steps` signed gradient steps
// for the model before, kept in the cube and in [0,1]. Here the steps descend the loss of the best class that is not
// the label, so that x' comes near the boundary, as the definition asks.
struct NeighbourOptions {
    int64_t draws = 8;   // neighbours of each image
    float eps = 0.03f;   // Linf, pixels in [0,1]
    float step = 0.01f;  // of each of
    int64_t steps = 3;
    uint64_t seed = 0;
};

// Neighbours [draws * k,3,H,W] of images [k,3,H,W] on the CPU; row i is one of image i % k. `before` is the folded
// twin of the model before; labels are the images' own. Throws Error as pgd() does.
Tensor neighbours_of(Model& before, const Tensor& images, std::span<const int64_t> labels,
                     const NeighbourOptions& options = {});

struct OverUnlearning {
    // OU@eps = mean over x' of JS(p_before(x') without y, p(x')), in bits; "without y": its probability set to 0, the
    // rest scaled to sum 1. 0: where the model before sees another class than y, the answers are still its own. Of the
    // model before itself it says how much it gives to y.
    double divergence = 0;
    int64_t crossed = 0;  // x' that the model before gives another label than y
    int64_t changed = 0;  // of these, x' whose label is not the one it gave
    int64_t total = 0;
};
// From logits [N,C] of the same neighbours; label i is labels[i % labels.size()]. Throws Error unless shapes and labels
// fit and all logits are finite.
OverUnlearning over_unlearning(const Tensor& before, const Tensor& after, std::span<const int64_t> labels);

}  // namespace lethe
