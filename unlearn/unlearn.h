// The unlearning loop: one method on one model and one forget set.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "nn/model.h"
#include "nn/optim.h"
#include "unlearn/comparison.h"
#include "unlearn/distillation.h"
#include "unlearn/image_rows.h"
#include "unlearn/importance.h"
#include "unlearn/method.h"
#include "unlearn/protocol.h"
#include "unlearn/retained.h"

namespace lethe {

// When to stop. The first rule that holds ends the run.
struct StopRule {
    int64_t in_a_row =
        1;  // goal met (D_f accuracy 0; relabel: every image has its new label) after this many steps in a row
    double margin = 0;  // > 0: goal also needs every image wrong (relabel: right) by at least this many logits
    // Methods that forget changed copies of D_f, too: goal also needs that at most this share of the step's copies,
    // which are drawn anew for each step, was still recognised before it.
    double views = 0.2;
    int64_t max_steps = 5000;
    double max_seconds = 0;  // 0 = no limit; a run ended by time is not reproducible, and says so
};

struct UnlearnOptions {
    Switches switches;
    OptimizerSpec optimizer{.name = "sgd", .lr = 1e-3f, .momentum = 0.9f, .weight_decay = 1e-4f};
    StopRule stop;
    int64_t forget_batch = 32;
    int64_t adversarial_batch = 256;
    float lambda = 1.0f;         // weight of the importance penalty
    float forget_weight = 1.0f;  // weights of the two cross entropies where size_weighted_ce is off
    float adversarial_weight = 1.0f;
    DistillOptions distill;     // of the methods with distillation
    ComparisonOptions compare;  // of the published methods that others are compared with
    bool shuffle =
        false;  // order of adversarial rows per pass, from stream Purpose::shuffle; the reference never shuffles
    uint64_t seed = 0;

    void validate() const;  // throws Error naming the option and its range
};

// The options of a protocol (unlearn/protocol.h): its switches with the optimizer and the weights that go with them.
// "reference" and "paper": SGD as the published scripts run it. "recommended": see
// docs/decisions/005-recommended-settings.md.
UnlearnOptions protocol_options(const std::string& name);

// What the method may look at. D_r only where it says so (Method::data).
struct ForgetTask {
    Tensor images;                  // D_f [k,3,H,W]
    std::vector<int64_t> labels;    // true labels
    std::vector<int64_t> relabels;  // y*, for the relabel objective; the true labels where images are corrected
    ImageRows adversarial;  // x' [n,3,H,W], repeat-major as draw_targets() and attack_pool() make them; for methods
                            // that use them
    std::vector<int64_t> adversarial_labels;
    ImageRows inverted;       // [n,3,H,W], for methods with distillation; without them these use the adversarial images
    StateDict penalty;        // Omega_bar, for methods that use it
    RetainedImages retained;  // D_r, for methods that use it (Method::needs_retained)

    void validate(const Method& method, int64_t classes) const;  // throws Error naming what does not fit or is missing
};

// One line of the trace, after one optimizer step.
struct StepTrace {
    int64_t step = 0;             // from 1
    double forget_loss = 0;       // mean CE(f(x), y) or CE(f(x), y*) of the step's D_f batch, before the step
    double adversarial_loss = 0;  // mean CE(f(x'), t) of the step's batch; 0 where the method has none
    double retain_loss = 0;       // mean CE(f(x), y) of the step's D_r batch, before the step; 0 without one
    double distillation = 0;      // mean KL of the step's images from a teacher, before the step; 0 without one
    int64_t views = 0, views_correct = 0;  // changed copies of D_f, and those still given their true label before the
                                           // step; 0 where the method has none
    double penalty = 0;                    // sum(Omega_bar (theta - theta0)^2) / 2 before the step
    int64_t forget_correct = 0;  // D_f images still given their true label after the step (relabel: their new one)
    double mean_margin = 0, max_margin = 0;  // of D_f, true label (relabel: new label), after the step
    std::string recognised;                  // D_f images given their true label after the step, as image_set()
    double lr = 0;
    double seconds = 0;  // since the start of this arm, evaluation included
};

enum class Verdict {
    forgotten,      // the stop rule's goal was met by a model that is still a classifier
    not_forgotten,  // the budget ended first
    diverged,       // NaN or infinity in a loss, weight or logit, or retained accuracy near chance
};
const char* name(Verdict verdict);  // "forgotten", "not-forgotten", "diverged"

// Everything needed to continue bit-identically after a kill.
struct UnlearnState {
    int64_t step = 0;
    int64_t goal_in_a_row = 0;
    double seconds = 0;
    StateDict weights;  // parameters and buffers
    StateDict optimizer;
};

struct UnlearnResult {
    Verdict verdict = Verdict::not_forgotten;  // before the caller's look at retained accuracy
    std::string reason;                        // one sentence: which rule ended it
    int64_t steps = 0;
    double seconds = 0;
};

// Runs `method` on `model` in place.
//   ADV   each step: the next adversarial batch forward, then the next D_f batch (cycling; every pass over the
//         adversarial rows starts with the first one, and its last batch may be short), one optimizer step.
//   distill  each step: proxies and the next D_f batch (with views: and changed copies of it), BatchNorm frozen, Adam.
//   make  each step: what the method's MethodStep (unlearn/method_step.h) does.
//   other each step: the next D_f batch.
// D_f is tested after every step with running statistics. At least one step is made. Which methods stop at the goal and
// which make a fixed number of steps: Method::until.
// Minimised: s w_f CE(D_f) + w_a CE(x', t) + lambda penalty; s = -1 for misclassify, +1 for relabel. Without the switch
// plain-ce, misclassify lowers w_f log(p_y / (1 - p_y)) of the images still recognised instead. With the switch
// size-weighted-ce, w_f and w_a are the batches' shares of the step's images (1 and 0 without adversarial ones).
// The switches decay-all and stop-on-first-zero decide over optimizer.decay_all, stop.in_a_row, stop.margin and
// stop.views.
// on_step(trace, snapshot): called after each step; snapshot() copies the state for a checkpoint. Return false to stop.
// A step that ends in divergence is not shown to it: no checkpoint ever holds NaN.
// resume: a state from an earlier snapshot of the same call; `model` holds the weights that call began with.
UnlearnResult unlearn(Model& model, const Method& method, const ForgetTask& task, const UnlearnOptions& options,
                      const std::function<bool(const StepTrace&, const std::function<UnlearnState()>&)>& on_step = {},
                      const std::optional<UnlearnState>& resume = {});

// In which order a pass goes over the adversarial rows of `images` images with `repeats` each, which lie repeat-major
// (all images, then all again). false: as they lie. true: for each batch of `forget_batch` images, all their repeats.
std::vector<int64_t> adversarial_order(int64_t images, int64_t repeats, int64_t forget_batch, bool batch_major);

// True when retained accuracy is no better than guessing: correct/total <= 1.5 / classes.
bool collapsed(int64_t correct, int64_t total, int64_t classes);

}  // namespace lethe
