// Projected gradient descent attacks (Madry et al., ICLR 2018), targeted and untargeted, L2 and Linf.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "nn/model.h"
#include "tensor/ops.h"
#include "tensor/random.h"

namespace lethe {

struct PgdOptions {
    // advertorch: uniform in the pixel box, then projected on the ball. torchattacks: for L2 a normal direction with a
    // radius uniform in [0, eps], for Linf uniform in the cube. none: start at the image.
    enum class Init { uniform_box, in_ball, none };

    PgdStep step;  // norm, order of projections, eps, step length, box
    int64_t steps = 100;
    bool targeted = true;  // descend the loss of `labels` (targets); otherwise ascend that of `labels` (true ones)
    Init init = Init::uniform_box;
    bool early_stop = false;  // an image that has succeeded is left alone; rows then go one by one
    uint64_t seed = 0;        // Purpose::attack; item = row number
    int64_t chunk = 16;       // at most so many rows go through the whole attack together on one thread (fewer where
                              // images are large)

    void validate() const;  // throws Error naming the option and its range: eps >= 0, step > 0, steps >= 0, chunk >= 1
};

// What became of one attacked row.
struct PgdReport {
    bool success = false;     // targeted: predicted == target; untargeted: predicted != label
    int64_t predicted = -1;   // -1 where a logit is NaN
    float loss = 0;           // cross entropy of the given label
    float margin = 0;         // targeted: z_target - max other; untargeted: max other - z_label
    float norm = 0;           // |x_adv - x| in the attack's norm
    float low = 0, high = 0;  // smallest and largest pixel
};

struct PgdResult {
    Tensor images;  // [N,3,H,W]
    std::vector<PgdReport> report;
};

// Attacks every row of `images` [N,3,H,W] (pixels in the box) with its label, through the folded twin `twin`; gradients
// are computed for the input only. All rows are one pool, cut in chunks over the threads; rows are independent, so the
// result does not depend on N, the chunk or the threads.
// `start` (optional) replaces the random start. It is used as it is (the first step brings it into the ball), so that
// n steps continued for m from their result are n + m, bit by bit. `first_row` is added to row numbers when addressing
// random numbers, so that a pool may be attacked in pieces. `progress(rows_done)` is called from the calling thread or
// workers, serialised. Throws Error for labels out of range and pixels outside the box.
PgdResult pgd(Model& twin, const Tensor& images, std::span<const int64_t> labels, const PgdOptions& options,
              const Tensor& start = {}, uint64_t first_row = 0, const std::function<void(int64_t)>& progress = {});

inline constexpr int64_t attack_piece_bytes = int64_t{64} << 20;

// pgd() on a pool larger than memory should hold: row i attacks image i % K of `images` [K,3,H,W] with labels[i]. The
// rows go in pieces of at most `piece_bytes` of pixels, one after the other; take(rows) is given each piece's
// adversarial images, in order. Rows and reports are those that pgd() makes of the repeated images, bit by bit.
// `progress` counts rows of the pool.
std::vector<PgdReport> attack_pool(Model& twin, const Tensor& images, std::span<const int64_t> labels,
                                   const PgdOptions& options, const std::function<void(const Tensor&)>& take,
                                   const std::function<void(int64_t)>& progress = {},
                                   int64_t piece_bytes = attack_piece_bytes);

// A random target for each of `labels`, `repeats` times (repeat-major: all labels, then all again), from stream
// Purpose::label. With `fallback`: drawn from all classes, and C/2 where the draw is the true label (the reference,
// where an image of class C/2 can thus be given its own label); else uniform over the other classes.
std::vector<int64_t> draw_targets(std::span<const int64_t> labels, int64_t repeats, int64_t classes, bool fallback,
                                  uint64_t seed);

}  // namespace lethe
