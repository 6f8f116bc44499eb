// Parameter structs of the operations: one struct per op, passed everywhere, never a ten-argument list.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "tensor/random.h"
#include "tensor/tensor.h"

namespace lethe {

// Square kernels take one number for both axes, as every model here does.
// y [N,K,P,Q] = x [N,C,H,W] * w [K,C/groups,R,S] (cross-correlation, as in PyTorch), P = (H + 2 pad - R) / stride + 1.
// Group g of the K filters sees group g of the C channels only; groups = C is a depthwise convolution.
struct Conv2d {
    int64_t stride = 1;
    int64_t pad = 0;
    int64_t groups = 1;

    Shape output_shape(const Shape& x, const Shape& w) const;  // throws Error where the shapes do not fit
};

// y = gamma * (x - mean) / sqrt(var + eps) + beta per channel (Ioffe and Szegedy, 2015); x [N,C,H,W].
struct BatchNorm {
    float eps = 1e-5f;
    float momentum = 0.1f;
    // true: mean and biased variance of this batch. false: running_mean and running_var, as constants.
    bool batch_statistics = false;
    // With batch statistics: running = (1 - momentum) running + momentum * batch (unbiased variance), as PyTorch does.
    bool update_running = true;
    bool relu = false;  // y = max(y, 0), after the residual if there is one
};

// What the backward pass needs of the forward pass.
struct BatchNormSaved {
    Tensor mean;     // [C]
    Tensor inv_std;  // [C], 1 / sqrt(var + eps)
};

struct BatchNormGrads {
    Tensor grad_x, grad_gamma, grad_beta, grad_residual;  // undefined where not asked for
};

// What layer_norm's backward pass needs of its forward pass, one value per row.
struct LayerNormSaved {
    Tensor mean, inv_std;
};

struct LayerNormGrads {
    Tensor grad_x, grad_gamma, grad_beta;  // undefined where not asked for
};

// Factors that silence each value with probability p and scale the others by 1 / (1 - p), so that means stay
// (Srivastava et al., 2014, as PyTorch does). Element j (storage order) of row n is silenced where
// random.uniform(counter * 2^24 + n, j) < p. The counter lives where the values do, so that a recorded step
// (StepGraph) draws anew each time.
struct Dropout {
    float p = 0.5f;  // in [0, 1)
    Random random{0, Purpose::dropout};
    Tensor counter{};  // int64, one element
};

// P = (H + 2 pad - kernel) / stride + 1, rounded down; with `ceil` rounded up, but a window must begin inside the image
// or the padding in front of it (PyTorch's ceil_mode).
struct Pool2d {
    int64_t kernel = 2;
    int64_t stride = 2;
    int64_t pad = 0;
    bool ceil = false;

    Shape output_shape(const Shape& x) const;
};

// One step of projected gradient ascent on images x_adv, each row an image [N, ...], in pixel units.
struct PgdStep {
    enum class Norm { l2, linf };
    enum class Order { box_then_ball, ball_then_box };  // advertorch clamps to the box first, torchattacks last
    Norm norm = Norm::l2;
    Order order = Order::box_then_ball;
    float eps = 4.0f;               // radius of the ball around x, in the norm above
    float step = 0.1f;              // length of the step, in the norm above
    float low = 0.0f, high = 1.0f;  // the box every pixel stays in
    float grad_floor = 1e-6f;       // L2: the gradient is divided by max(|grad|, grad_floor)
};

// Quadratic pull of theta towards anchor: lambda / 2 * sum(weight * (theta - anchor)^2).
struct Penalty {
    Tensor weight;  // same shape as the parameter
    Tensor anchor;
};

// Cross entropy with the target (1 - label_smoothing) onehot(label) + label_smoothing / C (Szegedy et al., 2016), as
// PyTorch's.
struct CrossEntropy {
    float label_smoothing = 0.0f;  // in [0, 1]
};

// What is done to a gradient before weight decay and penalty are added to it.
struct GradientClip {
    float value = 0.0f;  // each element is cut to [-value, value]; 0: none is
    Tensor factor{};     // float32 [2] of Backend::clip_factor(): its first element multiplies the gradient
};

// One parameter with what its update needs. Handles share memory: param, momentum, ... are written in place.
struct SgdItem {
    Tensor param, grad, momentum;  // momentum is undefined when Sgd::momentum is 0
    Penalty penalty;               // undefined tensors: no penalty on this parameter
    float weight_decay = 0.0f;
};

// PyTorch's SGD: g = grad + weight_decay * theta (+ lambda * weight * (theta - anchor));
// v = momentum * v + g, the first time v = g; theta -= lr * (nesterov ? g + momentum * v : v).
struct Sgd {
    float lr = 0.1f;
    float momentum = 0.0f;
    bool nesterov = false;
    bool first_step = false;  // v has no value yet
    float lambda = 0.0f;
    GradientClip clip{};
    // A recorded step (StepGraph) cannot take a new learning rate as an argument. When defined, float32 [2] on the
    // parameters' device: read in place of lr and momentum.
    Tensor scalars{};
};

struct AdamItem {
    Tensor param, grad, exp_avg, exp_avg_sq;
    Penalty penalty;
    float weight_decay = 0.0f;
};

// Kingma and Ba (2015) as PyTorch writes it; step counts from 1. Weight decay is added to the gradient or, where it is
// decoupled (AdamW; Loshchilov and Hutter, 2019), theta first becomes theta - lr * weight_decay * theta.
struct Adam {
    float lr = 1e-3f;
    float beta1 = 0.9f, beta2 = 0.999f;
    float eps = 1e-8f;
    int64_t step = 1;
    bool decoupled = false;
    float lambda = 0.0f;
    GradientClip clip{};
    // As Sgd::scalars, float32 [4]: step_size(), inv_sqrt_correction2(), lr and beta1, in place of lr, step and beta1.
    Tensor scalars{};

    float step_size() const;             // lr / (1 - beta1^step), computed in double
    float inv_sqrt_correction2() const;  // 1 / sqrt(1 - beta2^step)
};

// An exponential moving average: average += (1 - decay) * (value - average).
struct EmaItem {
    Tensor average, value;
};
struct Ema {
    float decay = 0.999f;
    Tensor scalars{};  // as Sgd::scalars, float32 [1]: read in place of decay
};

// Where a randomly cropped and mirrored image comes from: pixel [y,x] of the result is pixel [y + down, x + right] of
// the image, columns counted from the right when mirrored, and zero outside it.
struct CropFlip {
    int64_t down, right;
    bool mirrored;
};

}  // namespace lethe
