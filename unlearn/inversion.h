// Images made from a network's weights, begun as pieces of a few images, to stand in for the training images that one
// does not have.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "nn/model.h"
#include "tensor/random.h"

namespace lethe {

struct InversionOptions {
    int64_t images = 512;  // how many; their labels are the classes in turn
    int64_t steps = 45;    // of Adam, on the pixels
    float lr = 0.1f;       // of Adam, in pixel units; falls to 0 along half a cosine
    uint64_t seed = 0;     // Purpose::inversion

    void validate() const;  // throws Error naming the option and its range
};

struct Inversion {
    Tensor images;                // [n,3,H,W] in [0,1], on the CPU
    std::vector<int64_t> labels;  // [n], what they were made to be
    double loss = 0;              // mean CE of the labels, in the last step of the last batch
    double statistics = 0;        // the sum over layers below, there too
};

// Model inversion by BatchNorm's statistics (Yin et al., "Dreaming to Distill: Data-free Knowledge Transfer via
// DeepInversion", CVPR 2020), batch by batch:
//
//     min over x   CE(f(x), y) + sum over BatchNorm layers l of |mu_l(x) - m_l|_2 + |s_l(x) - v_l|_2
//
// with f in evaluation mode, mu_l and s_l mean and biased variance per channel of what layer l is given, over the whole
// batch, and m_l, v_l its running statistics: what the network remembers of the images it was trained on. In each step
// the batch is moved by up to 1/16 of a side, around the edges, and mirrored or not, as a whole. Unlike the published
// code: x begins with patches() of `seeds` and not with noise, so that a few steps are enough; no regularisers of
// single images (smoothness, norm), no competition with a student.
//
// `seeds` [k,3,H,W] in [0,1]: natural images, on the CPU. A batch has 256 images of 32x32 pixels, or as many as have
// that many pixels, but not fewer than 16. On the model's device; the model is left alone. Bit-identical for a seed,
// whatever the threads. progress(images x steps done). Throws Error for a model without BatchNorm.
Inversion invert(const Model& model, const Tensor& seeds, const InversionOptions& options,
                 const std::function<void(int64_t)>& progress = {});

// `count` images of the size of `seeds`: a random rectangle of one of them, of 1/10 to 6/10 of its area and with sides
// in a ratio of 3:4 to 4:3, resized (bilinear), mirrored or not, with contrast and brightness of each channel changed
// by up to a half and a quarter. Far from what they are parts of, and still with edges and colours as photographs have
// them: patches of one image are enough to teach a network much (Asano and Saeed, "Extrapolating from a Single Image to
// a Thousand Classes using Distillation", ICLR 2023). Drawn at items from `first_item` on, one for each.
Tensor patches(const Tensor& seeds, int64_t count, const Random& random, uint64_t first_item);

std::vector<int64_t> inversion_labels(int64_t images, int64_t classes);  // 0, 1, ..., classes - 1, 0, 1, ...

bool has_batchnorm(const Model& model);

// |mu - m|_2 + |s - v|_2 of x [N,C,H,W], as above, with its gradient: a Var [1] on x's device. m and v [C].
Var statistics_distance(const Var& x, const Tensor& m, const Tensor& v);

}  // namespace lethe
