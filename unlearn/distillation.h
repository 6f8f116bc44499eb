// Self-distillation: what holds a network to what it said before, from D_f and its own original weights alone.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "nn/model.h"
#include "tensor/random.h"

namespace lethe {

struct ForgetTask;

struct DistillOptions {
    float weight = 20.0f;       // w, of KL against the forgetting term
    float views_weight = 2.0f;  // the same, of the methods with views
    float lr = 3e-4f;           // of Adam, which these methods step with, BatchNorm frozen
    // T: logits are divided by it before they are compared (Hinton et al.). The original network is sure of most
    // proxies; at T = 1 it could lose half its confidence in a class, and with it the borderline images, before KL
    // shows it.
    float temperature = 4.0f;
    float margin = 0.5f;    // the forgetting term rests for an image that is wrong by this many logits
    int64_t proxies = 128;  // per step; of those from the attack at least one of each kind
    // "inversion", "attack", half of each with "both", or "auto": both where the model has BatchNorm, else attack
    std::string proxies_from = "auto";
    int64_t views = 5;  // weakly changed copies of each image of D_f per step, for the methods with views
    // Methods with views make so many steps that find D_f forgotten, from the first that met their goal on, and these
    // grow shorter: the learning rate is that of above times (1 - such steps so far / settle).
    int64_t settle = 80;

    void validate() const;  // throws Error naming the option and its range
};

// `copies` changed copies of each of `images` [n,3,H,W], copies-major (all images, then all again). The first is the
// image mirrored and nothing else: training with random flips has shown it as often as the image. The others are
// mirrored or not and shifted by up to 3/32 of a side (zeros come in); of every second one a window of 7/8 of the side
// first, resized; of every second pair with Gaussian noise of `noise`, clamped to [0,1] - not of all, or else copies
// without noise come back. Drawn from `random` at items from `first_item` on, one per copy. Throws Error for images
// with a side of 3 pixels or less.
Tensor weak_views(const Tensor& images, int64_t copies, float noise, const Random& random, uint64_t first_item);

// What proxies are made from. Throws Error for a name that is none of the four above, and for "inversion" or "both"
// with a model without BatchNorm.
struct ProxySources {
    bool inversion = false, attack = false;
};
ProxySources proxy_sources(const DistillOptions& options, const Model& model);

// Stand-ins for the images one does not have, with the original network's opinion of them (a data-free relative of
// Hinton et al., "Distilling the Knowledge in a Neural Network", 2015). From a stock of inverted images: drawn from it,
// each shifted and mirrored at random. From adversarial images of D_f: three kinds, a third of each:
//   attacked  targeted adversarial images of D_f: they lie just across the boundaries around D_f
//   mixed     lambda a + (1 - lambda) b (mixup; Zhang et al., ICLR 2018)
//   pasted    a rectangle of a in b (CutMix; Yun et al., ICCV 2019), of lambda of its area
// where a is an image of D_f and b an adversarial image, each shifted and mirrored at random, lambda uniform in [0, 1).
// `keep_away`: b is another image of D_f (an adversarial one where there is no other) and lambda is 1/2. Half an image
// teaches too little of what it looks like to bring it back, but a lot of what its class looks like: inverted images
// tell little of how real ones of a class differ.
struct Proxies {
    Tensor images;  // [n,3,H,W] in [0,1], on the CPU
    Tensor target;  // [n,C], softmax of the original network's logits / T, on the CPU
};

class Distillation {
public:
    // `original` is copied (folded); `task`, whose images these are made from, is kept by reference. Throws Error where
    // it lacks them.
    Distillation(const Model& original, const ForgetTask& task, const DistillOptions& options, bool keep_away,
                 uint64_t seed);

    Proxies proxies(int64_t step) const;  // a function of the step and the seed alone

private:
    Tensor from_stock(int64_t step) const;
    Tensor from_attack(int64_t step) const;

    std::unique_ptr<Model> teacher_;
    const ForgetTask& task_;
    float temperature_;
    int64_t stock_ = 0, kind_ = 0;  // proxies of a step: inverted ones, and of each kind made from the attack
    bool keep_away_;
    uint64_t seed_;
};

// T^2 KL(target || softmax(logits / T)) of each row, averaged; in double. Both [N,C] on the CPU. The square keeps the
// gradient's size: for large T this is half the squared distance of the logits' deviations from their means, per class.
double mean_kl(const Tensor& target, const Tensor& logits, double temperature = 1);
// Softmax of each row / T, in double, rounded.
Tensor softmax_rows(const Tensor& logits, double temperature = 1);

}  // namespace lethe
