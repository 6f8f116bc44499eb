// How good a run's adversarial images are, and what an unlearned model makes of them: it was trained to call each its
// target.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "nn/model.h"
#include "unlearn/image_rows.h"
#include "unlearn/metrics/distances.h"

namespace lethe {

// An attack as lethe unlearn leaves it: row i attacks image i % images.dim(0).
struct AttackSet {
    Tensor images;                 // [k,3,H,W]
    std::vector<int64_t> labels;   // of the k images
    ImageRows rows;                // [n,3,H,W]
    std::vector<int64_t> targets;  // of the n rows
    std::vector<bool> hits;        // the model before called the row its target
};

struct TargetHits {
    int64_t target = 0, rows = 0, hits = 0;
};
struct AttackQuality {
    std::vector<TargetHits> targets;  // ascending; classes that were no target are left out
    Quantiles l2, linf;               // of x' - x, pixels in [0,1]
    int64_t own_label = 0;            // rows whose target is their image's label
};
// Rows are read a few at a time. Throws Error where sizes differ or there is no row.
AttackQuality attack_quality(const AttackSet& attack);

struct AttackTransfer {
    int64_t rows = 0;
    int64_t target = 0;    // rows that the model calls their target
    int64_t label = 0;     // rows that it gives the label of their image
    Quantiles confidence;  // softmax of the target
};
// What a folded twin answers to at most `limit` of the rows, evenly spread (0: all).
AttackTransfer attack_transfer(Model& twin, const AttackSet& attack, int64_t limit);

}  // namespace lethe
