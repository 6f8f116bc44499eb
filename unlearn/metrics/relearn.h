// Relearn time: how many steps on D_f bring the forgotten images back?
//
//     steps = min { t : at least `goal` images of D_f are given their label after t steps of CE(f(x), y) on D_f }
//
// What was only hidden comes back in a few steps; an image that a model has never seen takes longer, which is why the
// number is to be compared with that of a model retrained without D_f: relearn time and the "anamnesis index", their
// ratio (Chundawat et al., "Zero-shot machine unlearning", IEEE TIFS 2023). High is good for forgetting. Relearning the
// last layer alone asks whether the features still hold the images and only the head has turned away ("head-only"
// forgetting).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "nn/model.h"
#include "nn/optim.h"

namespace lethe {

struct RelearnOptions {
    OptimizerSpec optimizer{.name = "sgd", .lr = 1e-3f, .momentum = 0.0f};
    int64_t max_steps = 200;
    int64_t batch_size = 32;       // the next so many of D_f per step, in order, again from the first after the last
    bool last_layer_only = false;  // the other parameters stay; see last_layer()

    void validate() const;  // throws Error naming the option and its range
};

struct Relearning {
    int64_t steps = 0;             // made; 0 where the goal was met from the start
    bool reached = false;          // else the cap ended it, and `steps` is a lower bound
    bool finite = true;            // false: a loss or logit was not, and it ended there
    std::vector<int64_t> correct;  // images given their label: before the first step, and after each
};

// On a copy of `model`, with BatchNorm's stored statistics throughout, which do not move. images [k,3,H,W]; goal from 1
// to k, the number of images to be given their label. Throws Error for options, a goal or labels out of range.
// Bit-identical whatever the number of threads.
Relearning relearn(const Model& model, const Tensor& images, std::span<const int64_t> labels, int64_t goal,
                   const RelearnOptions& options = {});

// The parameters of the model's last layer, whose outputs are the logits: weight and bias.
std::vector<Module::Parameter> last_layer(const Model& model);

}  // namespace lethe
