// Backend: the one interface that every device implements.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "tensor/elementwise.h"
#include "tensor/ops.h"
#include "tensor/tensor.h"

namespace lethe {

// Public functions check shapes, dtypes and devices, once for all devices, then call a virtual *_impl that may trust
// its arguments. Errors start with the op's name and print what was expected and what was given.
// Results are new tensors; arguments are never written unless the comment says "in place".
class Backend {
public:
    virtual ~Backend() = default;
    virtual std::string description() const = 0;  // one line for logs: device, library versions, instruction set

    // Convolution. Forward, gradient for the input and gradient for the weights are separate entry points: an
    // attack pays for the first two only.
    Tensor conv2d(const Tensor& x, const Tensor& w, const Conv2d& op);
    Tensor conv2d_grad_x(const Tensor& grad_y, const Tensor& w, const Shape& x, const Conv2d& op);
    Tensor conv2d_grad_w(const Tensor& grad_y, const Tensor& x, const Shape& w, const Conv2d& op);
    // relu?(conv(x, w) + bias [K] + residual?), in one pass; residual is undefined or has y's shape.
    Tensor conv2d_fused(const Tensor& x, const Tensor& w, const Tensor& bias, const Tensor& residual, bool relu,
                        const Conv2d& op);

    // y [N,C,H,W] = relu?(batchnorm(x) + residual?); writes `saved`, and running_* in place when op says so.
    Tensor batchnorm(const Tensor& x, const Tensor& gamma, const Tensor& beta, Tensor& running_mean,
                     Tensor& running_var, const Tensor& residual, const BatchNorm& op, BatchNormSaved& saved);
    // y is the forward's result (its sign is relu's mask). Which gradients: want_x, want_affine, want_residual.
    BatchNormGrads batchnorm_grad(const Tensor& grad_y, const Tensor& y, const Tensor& x, const Tensor& gamma,
                                  const BatchNormSaved& saved, const BatchNorm& op, bool want_x, bool want_affine,
                                  bool want_residual);

    // Maximum over windows; padding counts as -inf. `argmax` (int64, flattened [N*C*P*Q] in y's storage order) gets
    // each winner's offset in x's storage, the first in scan order where several are equal.
    Tensor max_pool2d(const Tensor& x, const Pool2d& op, Tensor& argmax);
    Tensor max_pool2d_grad(const Tensor& grad_y, const Tensor& argmax, const Shape& x);
    Tensor global_avg_pool(const Tensor& x);  // [N,C,H,W] -> [N,C]
    Tensor global_avg_pool_grad(const Tensor& grad_y, const Shape& x);

    // y [N,O] = x [N,F] w^T [O,F] + b [O]
    Tensor linear(const Tensor& x, const Tensor& w, const Tensor& b);
    Tensor linear_grad_x(const Tensor& grad_y, const Tensor& w);
    Tensor linear_grad_w(const Tensor& grad_y, const Tensor& x);
    Tensor column_sum(const Tensor& x);  // [N,F] -> [F], the gradient of a bias

    // The parameter-free shortcut of CIFAR ResNets ("option A", He et al. 2016): every stride-th pixel, channels
    // padded with zeros equally on both sides to `channels`. x [N,C,H,W] -> [N,channels,ceil(H/stride),ceil(W/stride)].
    Tensor shortcut_a(const Tensor& x, int64_t channels, int64_t stride);
    Tensor shortcut_a_grad(const Tensor& grad_y, const Shape& x, int64_t stride);

    // (x - mean [C]) / std [C], per channel, and its gradient grad_y / std.
    Tensor normalize(const Tensor& x, const Tensor& mean, const Tensor& std);
    Tensor normalize_grad(const Tensor& grad_y, const Tensor& std);

    // loss [N] = -log softmax(logits [N,C])[label]; labels int64 [N], each in [0, C). `probabilities` [N,C] is written.
    Tensor softmax_cross_entropy(const Tensor& logits, const Tensor& labels, Tensor& probabilities);
    // grad_logits = (probabilities - onehot(labels)) * grad_loss [N] per row.
    Tensor softmax_cross_entropy_grad(const Tensor& grad_loss, const Tensor& probabilities, const Tensor& labels);

    Tensor unary(Unary op, const Tensor& x);
    Tensor unary_grad(Unary op, const Tensor& grad_y, const Tensor& x, const Tensor& y);  // grad_y * df(x, y)
    Tensor binary(Binary op, const Tensor& a, const Tensor& b);                           // same shapes
    Tensor binary_grad_a(Binary op, const Tensor& grad_y, const Tensor& a, const Tensor& b, const Tensor& y);
    Tensor binary_grad_b(Binary op, const Tensor& grad_y, const Tensor& a, const Tensor& b, const Tensor& y);
    Tensor scale(const Tensor& x, float factor);
    void axpy(float factor, const Tensor& x, Tensor& y);            // y += factor * x, in place
    void abs_accumulate(float factor, const Tensor& x, Tensor& y);  // y += factor * |x|, in place
    // (a + b) * (y > 0): two gradients meeting at a relu, in one pass. b may be undefined.
    Tensor relu_mask_add(const Tensor& a, const Tensor& b, const Tensor& y);

    Tensor sum(const Tensor& x);                              // [1]; the order of additions is fixed
    Tensor row_norm(const Tensor& x);                         // L2 norm of each row: [N, ...] -> [N]
    Tensor row_scale(const Tensor& x, const Tensor& factor);  // x[n] * factor[n]; factor [N]

    // One projected gradient step on x_adv around x, in place; each row is an image. See PgdStep.
    void pgd_step(Tensor& x_adv, const Tensor& x, const Tensor& grad, const PgdStep& op);
    // x + projection of (x_adv - x) on the ball and the box, without a step: the attack's start. In place.
    void pgd_project(Tensor& x_adv, const Tensor& x, const PgdStep& op);

    // One optimizer step over many tensors, in place. Throws Error on shape mismatches.
    void sgd(std::span<SgdItem> items, const Sgd& op);
    void adam(std::span<AdamItem> items, const Adam& op);

protected:
    virtual Tensor conv2d_impl(const Tensor& x, const Tensor& w, const Conv2d& op) = 0;
    virtual Tensor conv2d_grad_x_impl(const Tensor& grad_y, const Tensor& w, const Shape& x, const Conv2d& op) = 0;
    virtual Tensor conv2d_grad_w_impl(const Tensor& grad_y, const Tensor& x, const Shape& w, const Conv2d& op) = 0;
    virtual Tensor conv2d_fused_impl(const Tensor& x, const Tensor& w, const Tensor& bias, const Tensor& residual,
                                     bool relu, const Conv2d& op) = 0;
    virtual Tensor batchnorm_impl(const Tensor& x, const Tensor& gamma, const Tensor& beta, Tensor& running_mean,
                                  Tensor& running_var, const Tensor& residual, const BatchNorm& op,
                                  BatchNormSaved& saved) = 0;
    virtual BatchNormGrads batchnorm_grad_impl(const Tensor& grad_y, const Tensor& y, const Tensor& x,
                                               const Tensor& gamma, const BatchNormSaved& saved, const BatchNorm& op,
                                               bool want_x, bool want_affine, bool want_residual) = 0;
    virtual Tensor max_pool2d_impl(const Tensor& x, const Pool2d& op, Tensor& argmax) = 0;
    virtual Tensor max_pool2d_grad_impl(const Tensor& grad_y, const Tensor& argmax, const Shape& x) = 0;
    virtual Tensor global_avg_pool_impl(const Tensor& x) = 0;
    virtual Tensor global_avg_pool_grad_impl(const Tensor& grad_y, const Shape& x) = 0;
    virtual Tensor linear_impl(const Tensor& x, const Tensor& w, const Tensor& b) = 0;
    virtual Tensor linear_grad_x_impl(const Tensor& grad_y, const Tensor& w) = 0;
    virtual Tensor linear_grad_w_impl(const Tensor& grad_y, const Tensor& x) = 0;
    virtual Tensor column_sum_impl(const Tensor& x) = 0;
    virtual Tensor shortcut_a_impl(const Tensor& x, int64_t channels, int64_t stride) = 0;
    virtual Tensor shortcut_a_grad_impl(const Tensor& grad_y, const Shape& x, int64_t stride) = 0;
    virtual Tensor normalize_impl(const Tensor& x, const Tensor& mean, const Tensor& std) = 0;
    virtual Tensor normalize_grad_impl(const Tensor& grad_y, const Tensor& std) = 0;
    virtual Tensor softmax_cross_entropy_impl(const Tensor& logits, const Tensor& labels, Tensor& probabilities) = 0;
    virtual Tensor softmax_cross_entropy_grad_impl(const Tensor& grad_loss, const Tensor& probabilities,
                                                   const Tensor& labels) = 0;
    virtual Tensor unary_impl(Unary op, const Tensor& x) = 0;
    virtual Tensor unary_grad_impl(Unary op, const Tensor& grad_y, const Tensor& x, const Tensor& y) = 0;
    virtual Tensor binary_impl(Binary op, const Tensor& a, const Tensor& b) = 0;
    virtual Tensor binary_grad_impl(Binary op, bool second, const Tensor& grad_y, const Tensor& a, const Tensor& b,
                                    const Tensor& y) = 0;
    virtual Tensor scale_impl(const Tensor& x, float factor) = 0;
    virtual void axpy_impl(float factor, const Tensor& x, Tensor& y) = 0;
    virtual void abs_accumulate_impl(float factor, const Tensor& x, Tensor& y) = 0;
    virtual Tensor relu_mask_add_impl(const Tensor& a, const Tensor& b, const Tensor& y) = 0;
    virtual Tensor sum_impl(const Tensor& x) = 0;
    virtual Tensor row_norm_impl(const Tensor& x) = 0;
    virtual Tensor row_scale_impl(const Tensor& x, const Tensor& factor) = 0;
    virtual void pgd_step_impl(Tensor& x_adv, const Tensor& x, const Tensor* grad, const PgdStep& op) = 0;
    virtual void sgd_impl(std::span<SgdItem> items, const Sgd& op) = 0;
    virtual void adam_impl(std::span<AdamItem> items, const Adam& op) = 0;
};

// The backend of a device. Throws Error naming what is missing when this machine or this build has no such device.
Backend& backend(Device device);
// The backend that holds `tensor`.
Backend& backend(const Tensor& tensor);

// Defined by cpu/ and by cuda/ (or by cuda/no_cuda.cpp, which throws); called by backend().
std::unique_ptr<Backend> make_cpu_backend();
std::unique_ptr<Backend> make_cuda_backend();

// Counters of the CPU backend's plan cache, for tests and benchmarks: after warm-up a step must build none.
uint64_t plans_built();

}  // namespace lethe
