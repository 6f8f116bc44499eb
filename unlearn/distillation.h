// Self-distillation: what holds a network to what it said before, from D_f and its own original weights alone.
#pragma once

#include <cstdint>
#include <memory>

#include "nn/model.h"
#include "tensor/random.h"
#include "unlearn/image_rows.h"

namespace lethe {

struct DistillOptions {
    float weight = 100.0f;  // w, of KL against the forgetting term
    float lr = 1e-4f;       // of Adam, which these methods step with, BatchNorm frozen
    float margin = 0.5f;    // the forgetting term rests for an image that is wrong by this many logits
    int64_t proxies = 64;   // of each of the three kinds, per step
    int64_t views = 4;      // weakly changed copies of each image of D_f per step, for the methods with views

    void validate() const;  // throws Error naming the option and its range
};

// `copies` changed copies of each of `images` [n,3,H,W], copies-major (all images, then all again): mirrored or not,
// shifted by up to 3/32 of a side (zeros come in), with Gaussian noise of `noise` and clamped to [0,1]. Drawn from
// `random` at items from `first_item` on, one per copy.
Tensor weak_views(const Tensor& images, int64_t copies, float noise, const Random& random, uint64_t first_item);

// Stand-ins for the images one does not have, with the original network's opinion of them (a data-free relative of
// Hinton et al., "Distilling the Knowledge in a Neural Network", 2015). Three kinds, n of each:
//   attacked  targeted adversarial images of D_f: they lie just across the boundaries around D_f
//   mixed     lambda a + (1 - lambda) b (mixup; Zhang et al., ICLR 2018)
//   pasted    a rectangle of a in b (CutMix; Yun et al., ICCV 2019), of lambda of its area
// where a is an image of D_f and b an adversarial image, each shifted and mirrored at random, lambda uniform in [0, 1);
// `keep_away`: in [0, 1/2), so that no proxy teaches what D_f looks like when it is only mirrored.
struct Proxies {
    Tensor images;  // [3n,3,H,W] in [0,1], on the CPU
    Tensor target;  // [3n,C], softmax of the original network's logits, on the CPU
};

class Distillation {
public:
    // `original` is copied (folded); `forget` [k,3,H,W] and `adversarial` are kept by reference.
    Distillation(const Model& original, const Tensor& forget, const ImageRows& adversarial, int64_t proxies,
                 bool keep_away, uint64_t seed);

    Proxies proxies(int64_t step) const;  // a function of the step and the seed alone

private:
    std::unique_ptr<Model> teacher_;
    const Tensor& forget_;
    const ImageRows& adversarial_;
    int64_t count_;
    bool keep_away_;
    uint64_t seed_;
};

// KL(target || softmax(logits)) of each row, averaged; in double. Both [N,C] on the CPU.
double mean_kl(const Tensor& target, const Tensor& logits);
// Softmax of each row, in double, rounded.
Tensor softmax_rows(const Tensor& logits);

}  // namespace lethe
