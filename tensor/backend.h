// Backend: the one interface that every device implements.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "tensor/allocator.h"
#include "tensor/elementwise.h"
#include "tensor/ops.h"
#include "tensor/random.h"
#include "tensor/tensor.h"

namespace lethe {

// strict: float32 products and sums. tf32: products of 10-bit mantissas on tensor cores. bf16: of 7-bit ones; a
// weight's gradient is then float32, but may have been rounded to bfloat16 once, and a fused bias is rounded to
// bfloat16.
enum class Precision { strict, tf32, bf16 };
const char* name(Precision precision);

// Public functions check shapes, dtypes and devices, once for all devices, then call a virtual *_impl that may trust
// its arguments. Errors start with the op's name and print what was expected and what was given.
// Results are new tensors; arguments are never written unless the comment says "in place".
class Backend {
public:
    virtual ~Backend() = default;
    virtual std::string description() const = 0;  // one line for logs: device, library versions, instruction set
    virtual Device device() const = 0;

    // How float32 convolutions and matrix products are computed. `bf16` also stores activations between the input
    // normalisation and the last pooling in bfloat16; parameters, statistics and optimizer state stay float32.
    // The CPU backend knows `strict` only: set_precision() throws Error for the others.
    virtual Precision precision() const { return Precision::strict; }
    virtual void set_precision(Precision precision);

    // Memory of this device. The copies are ordered with the operations; those from and to the CPU's memory return when
    // the CPU may use it again. allocate() throws Error when there is none left.
    virtual void* allocate(std::size_t bytes) = 0;
    virtual void release(void* block, std::size_t bytes) noexcept = 0;
    virtual void copy_from_host(void* to, const void* from, std::size_t bytes) = 0;
    virtual void copy_to_host(void* to, const void* from, std::size_t bytes) = 0;
    virtual void copy_within(void* to, const void* from, std::size_t bytes) = 0;
    virtual void zero(void* block, std::size_t bytes) = 0;
    virtual CachingAllocator& allocator() = 0;  // its counters, and poison for tests
    // Gives back to the system what nobody uses: cached blocks, and what was derived from tensors that are gone.
    virtual void trim() { allocator().trim(); }
    // Waits until everything asked for so far has been done.
    virtual void synchronize() {}
    // Whether several threads may give it work at a time. Where they may not, work is best given in large pieces.
    virtual bool concurrent() const { return true; }

    // Sends batches from the CPU's memory while earlier operations still run. send() returns when `host` may be
    // overwritten; operations asked for later see the new contents of `target`, which has host's shape and dtype.
    class Uploader {
    public:
        virtual ~Uploader() = default;
        virtual void send(const Tensor& host, Tensor& target) = 0;
    };
    virtual std::unique_ptr<Uploader> make_uploader();

    // Recording, for StepGraph. Between begin_recording() and end_recording() operations are written down instead of
    // being run; end_recording() returns what runs them, or null where the device runs operations at once anyway (CPU).
    class Recording {
    public:
        virtual ~Recording() = default;
        virtual void run() = 0;
    };
    virtual bool can_record() const { return false; }
    virtual void begin_recording() {}
    virtual std::unique_ptr<Recording> end_recording() { return nullptr; }
    // Ends a recording that an exception interrupted; what was written down is dropped.
    virtual void abandon_recording() noexcept {}

    // Convolution. Forward, gradient for the input and gradient for the weights are separate entry points: an
    // attack pays for the first two only.
    Tensor conv2d(const Tensor& x, const Tensor& w, const Conv2d& op);
    Tensor conv2d_grad_x(const Tensor& grad_y, const Tensor& w, const Shape& x, const Conv2d& op);
    // (the gradient for x + skip?) * (mask > 0): how a gradient goes on to the relu that made x; skip may be undefined.
    Tensor conv2d_grad_x_masked(const Tensor& grad_y, const Tensor& w, const Conv2d& op, const Tensor& skip,
                                const Tensor& mask);
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

    // The BatchNorm folded into its convolution: w_folded = w gamma / sqrt(var + eps) per output channel and b_folded =
    // beta - mean gamma / sqrt(var + eps), computed in double. Written in place.
    void fold_batchnorm(const Tensor& w, const Tensor& gamma, const Tensor& beta, const Tensor& mean, const Tensor& var,
                        float eps, Tensor& w_folded, Tensor& b_folded);

    // Sum over the samples n of |gradient for the weights from sample n alone|: what exact per-sample importance adds
    // up (MAS, Aljundi et al. 2018). The same for a BatchNorm with running statistics; gradients for gamma and beta.
    Tensor conv2d_grad_w_abs(const Tensor& grad_y, const Tensor& x, const Shape& w, const Conv2d& op);
    BatchNormGrads batchnorm_grad_abs(const Tensor& grad_y, const Tensor& y, const Tensor& x,
                                      const BatchNormSaved& saved, const BatchNorm& op);

    // Maximum over windows; padding counts as -inf. `argmax` (int64, flattened [N*C*P*Q] in y's storage order) gets
    // each winner's offset in x's storage, the first in scan order where several are equal.
    Tensor max_pool2d(const Tensor& x, const Pool2d& op, Tensor& argmax);
    Tensor max_pool2d_grad(const Tensor& grad_y, const Tensor& argmax, const Shape& x, const Pool2d& op);
    // Mean over windows; padding counts as zeros that belong to the window, what `ceil` adds behind it does not.
    Tensor avg_pool2d(const Tensor& x, const Pool2d& op);
    Tensor avg_pool2d_grad(const Tensor& grad_y, const Shape& x, const Pool2d& op);
    Tensor global_avg_pool(const Tensor& x);  // [N,C,H,W] -> [N,C], float32 whatever x is
    Tensor global_avg_pool_grad(const Tensor& grad_y, const Shape& x, DType dtype = DType::float32);  // dtype of x

    // y [N,O] = x [N,F] w^T [O,F] + b [O]; the same for each of several rows per sample, [N,T,F] -> [N,T,O].
    Tensor linear(const Tensor& x, const Tensor& w, const Tensor& b);
    Tensor linear_grad_x(const Tensor& grad_y, const Tensor& w);
    Tensor linear_grad_w(const Tensor& grad_y, const Tensor& x);
    Tensor column_sum(const Tensor& x);  // [N,F] -> [F], the gradient of a bias

    // What transformers are made of; samples are N sequences of T tokens, float32.
    // y [N,1+H*W,D]: class_token [1,1,D], then the pixels of patches [N,D,H,W] row by row, each plus its own of
    // position [1,1+H*W,D] (Dosovitskiy et al., ICLR 2021). The gradient is that for patches, of their dtype.
    Tensor tokens(const Tensor& patches, const Tensor& class_token, const Tensor& position);
    Tensor tokens_grad(const Tensor& grad_y, const Shape& patches, DType dtype = DType::float32);
    // y = gamma (x - mean) / sqrt(var + eps) + beta for each row of x [M,F] or [N,T,F], with the mean and the biased
    // variance of that row (Ba et al., 2016); gamma and beta [F].
    Tensor layer_norm(const Tensor& x, const Tensor& gamma, const Tensor& beta, float eps, LayerNormSaved& saved);
    LayerNormGrads layer_norm_grad(const Tensor& grad_y, const Tensor& x, const Tensor& gamma,
                                   const LayerNormSaved& saved, bool want_x, bool want_affine);
    // Multi-head self-attention (Vaswani et al., 2017): qkv [N,T,3D] holds queries, keys and values of D = heads * d
    // features; y [N,T,D] = softmax(q k^T / sqrt(d)) v in each head. `probabilities` [N*heads,T,T], the softmax, is
    // written for the gradient; null: not wanted.
    Tensor attention(const Tensor& qkv, int64_t heads, Tensor* probabilities);
    Tensor attention_grad(const Tensor& grad_y, const Tensor& qkv, int64_t heads, const Tensor& probabilities);
    // The factors of Dropout for values of this shape, [N, ...].
    Tensor dropout_factors(const Shape& shape, const Dropout& op);

    // The parameter-free shortcut of CIFAR ResNets ("option A", He et al. 2016): every stride-th pixel, channels
    // padded with zeros equally on both sides to `channels`. x [N,C,H,W] -> [N,channels,ceil(H/stride),ceil(W/stride)].
    Tensor shortcut_a(const Tensor& x, int64_t channels, int64_t stride);
    Tensor shortcut_a_grad(const Tensor& grad_y, const Shape& x, int64_t stride);

    // The channels of several [N,Ci,H,W] after one another: [N,sum Ci,H,W]; and channels [begin, end) of x, which is
    // also the gradient for one of them.
    Tensor concat_channels(std::span<const Tensor> parts);
    Tensor slice_channels(const Tensor& x, int64_t begin, int64_t end);

    // (x - mean [C]) / std [C], per channel, and its gradient grad_y / std. With Precision::bf16 the result is
    // bfloat16, and so is grad_y; the gradient is float32.
    Tensor normalize(const Tensor& x, const Tensor& mean, const Tensor& std);
    Tensor normalize_grad(const Tensor& grad_y, const Tensor& std);

    // loss [N] = -sum_c target_c log softmax(logits [N,C])_c, with the target of `op` for labels int64 [N], each in
    // [0, C). `probabilities` [N,C] is written. Labels on the CPU are checked; elsewhere one outside the range gives
    // the loss NaN.
    Tensor softmax_cross_entropy(const Tensor& logits, const Tensor& labels, Tensor& probabilities,
                                 const CrossEntropy& op = {});
    // grad_logits = (probabilities - target) * grad_loss [N] per row.
    Tensor softmax_cross_entropy_grad(const Tensor& grad_loss, const Tensor& probabilities, const Tensor& labels,
                                      const CrossEntropy& op = {});

    // The gradient for logits [N,C] of weight * mean over the rows with active [N] != 0 of the log-odds
    // log(p_y / (1 - p_y)) = z_y - log sum_{j != y} exp(z_j): weight / rows at y, minus that times a softmax over the
    // other classes elsewhere; 0 in the other rows.
    Tensor log_odds_grad(const Tensor& logits, const Tensor& labels, const Tensor& active, float weight);

    Tensor unary(Unary op, const Tensor& x);
    Tensor unary_grad(Unary op, const Tensor& grad_y, const Tensor& x, const Tensor& y);  // grad_y * df(x, y)
    Tensor binary(Binary op, const Tensor& a, const Tensor& b);                           // same shapes
    Tensor binary_grad_a(Binary op, const Tensor& grad_y, const Tensor& a, const Tensor& b, const Tensor& y);
    Tensor binary_grad_b(Binary op, const Tensor& grad_y, const Tensor& a, const Tensor& b, const Tensor& y);
    Tensor cast(const Tensor& x, DType dtype);  // float32 <-> bfloat16, rounded to nearest even
    void fill(Tensor& x, float value);          // in place
    void increment(Tensor& counter);            // int64, one element: += 1, in place
    // Row n, element j (storage order) becomes low + range * random.uniform(first_item + n, j). In place.
    void fill_uniform(Tensor& x, const Random& random, uint64_t first_item, float low, float range);
    // Each row an image [N,C,H,W], with its own placement. In place.
    void crop_flip(Tensor& images, std::span<const CropFlip> placements);
    // The two orders of memory: a matrix [N*C, H*W] that holds NCHW to a tensor [N,C,H,W], and back.
    Tensor nchw_to_nhwc(const Tensor& matrix, const Shape& shape);
    Tensor nhwc_to_nchw(const Tensor& x);
    // `values` become the contents of float32 [values.size()] (at most 4), without waiting. In place.
    void set_scalars(Tensor& scalars, std::span<const float> values);

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
    // factor, float32 [2], becomes min(1, max_norm / (norm + 1e-6)) and norm, where norm is the L2 norm of all
    // gradients together (PyTorch's clip_grad_norm_). In place, without waiting.
    void clip_factor(std::span<const Tensor> grads, float max_norm, Tensor& factor);
    // One step of moving averages over many tensors, in place.
    void ema(std::span<EmaItem> items, const Ema& op);

protected:
    virtual Tensor conv2d_impl(const Tensor& x, const Tensor& w, const Conv2d& op) = 0;
    virtual Tensor conv2d_grad_x_impl(const Tensor& grad_y, const Tensor& w, const Shape& x, const Conv2d& op) = 0;
    // Composed of conv2d_grad_x and relu_mask_add, unless a device does it in one pass.
    virtual Tensor conv2d_grad_x_masked_impl(const Tensor& grad_y, const Tensor& w, const Conv2d& op,
                                             const Tensor& skip, const Tensor& mask);
    virtual Tensor conv2d_grad_w_impl(const Tensor& grad_y, const Tensor& x, const Shape& w, const Conv2d& op) = 0;
    virtual Tensor conv2d_fused_impl(const Tensor& x, const Tensor& w, const Tensor& bias, const Tensor& residual,
                                     bool relu, const Conv2d& op) = 0;
    virtual Tensor batchnorm_impl(const Tensor& x, const Tensor& gamma, const Tensor& beta, Tensor& running_mean,
                                  Tensor& running_var, const Tensor& residual, const BatchNorm& op,
                                  BatchNormSaved& saved) = 0;
    virtual BatchNormGrads batchnorm_grad_impl(const Tensor& grad_y, const Tensor& y, const Tensor& x,
                                               const Tensor& gamma, const BatchNormSaved& saved, const BatchNorm& op,
                                               bool want_x, bool want_affine, bool want_residual) = 0;
    virtual void fold_batchnorm_impl(const Tensor& w, const Tensor& gamma, const Tensor& beta, const Tensor& mean,
                                     const Tensor& var, float eps, Tensor& w_folded, Tensor& b_folded) = 0;
    // Sample by sample through the gradient above, unless a device knows better.
    virtual Tensor conv2d_grad_w_abs_impl(const Tensor& grad_y, const Tensor& x, const Shape& w, const Conv2d& op);
    virtual BatchNormGrads batchnorm_grad_abs_impl(const Tensor& grad_y, const Tensor& y, const Tensor& x,
                                                   const BatchNormSaved& saved, const BatchNorm& op);
    virtual Tensor max_pool2d_impl(const Tensor& x, const Pool2d& op, Tensor& argmax) = 0;
    virtual Tensor max_pool2d_grad_impl(const Tensor& grad_y, const Tensor& argmax, const Shape& x,
                                        const Pool2d& op) = 0;
    virtual Tensor avg_pool2d_impl(const Tensor& x, const Pool2d& op) = 0;
    virtual Tensor avg_pool2d_grad_impl(const Tensor& grad_y, const Shape& x, const Pool2d& op) = 0;
    virtual Tensor global_avg_pool_impl(const Tensor& x) = 0;
    virtual Tensor global_avg_pool_grad_impl(const Tensor& grad_y, const Shape& x, DType dtype) = 0;
    virtual Tensor linear_impl(const Tensor& x, const Tensor& w, const Tensor& b) = 0;
    virtual Tensor linear_grad_x_impl(const Tensor& grad_y, const Tensor& w) = 0;
    virtual Tensor linear_grad_w_impl(const Tensor& grad_y, const Tensor& x) = 0;
    virtual Tensor column_sum_impl(const Tensor& x) = 0;
    virtual Tensor tokens_impl(const Tensor& patches, const Tensor& class_token, const Tensor& position) = 0;
    virtual Tensor tokens_grad_impl(const Tensor& grad_y, const Shape& patches, DType dtype) = 0;
    virtual Tensor layer_norm_impl(const Tensor& x, const Tensor& gamma, const Tensor& beta, float eps,
                                   LayerNormSaved& saved) = 0;
    virtual LayerNormGrads layer_norm_grad_impl(const Tensor& grad_y, const Tensor& x, const Tensor& gamma,
                                                const LayerNormSaved& saved, bool want_x, bool want_affine) = 0;
    virtual Tensor attention_impl(const Tensor& qkv, int64_t heads, Tensor* probabilities) = 0;
    virtual Tensor attention_grad_impl(const Tensor& grad_y, const Tensor& qkv, int64_t heads,
                                       const Tensor& probabilities) = 0;
    virtual Tensor dropout_factors_impl(const Shape& shape, const Dropout& op) = 0;
    virtual Tensor shortcut_a_impl(const Tensor& x, int64_t channels, int64_t stride) = 0;
    virtual Tensor shortcut_a_grad_impl(const Tensor& grad_y, const Shape& x, int64_t stride) = 0;
    // to[n, to_begin + c, h, w] = from[n, from_begin + c, h, w] for c in [0, count)
    virtual void copy_channels_impl(const Tensor& from, int64_t from_begin, Tensor& to, int64_t to_begin,
                                    int64_t count) = 0;
    virtual Tensor normalize_impl(const Tensor& x, const Tensor& mean, const Tensor& std) = 0;
    virtual Tensor normalize_grad_impl(const Tensor& grad_y, const Tensor& std) = 0;
    virtual Tensor softmax_cross_entropy_impl(const Tensor& logits, const Tensor& labels, Tensor& probabilities,
                                              const CrossEntropy& op) = 0;
    virtual Tensor softmax_cross_entropy_grad_impl(const Tensor& grad_loss, const Tensor& probabilities,
                                                   const Tensor& labels, const CrossEntropy& op) = 0;
    virtual Tensor log_odds_grad_impl(const Tensor& logits, const Tensor& labels, const Tensor& active,
                                      float weight) = 0;
    virtual Tensor unary_impl(Unary op, const Tensor& x) = 0;
    virtual Tensor unary_grad_impl(Unary op, const Tensor& grad_y, const Tensor& x, const Tensor& y) = 0;
    virtual Tensor binary_impl(Binary op, const Tensor& a, const Tensor& b) = 0;
    virtual Tensor binary_grad_impl(Binary op, bool second, const Tensor& grad_y, const Tensor& a, const Tensor& b,
                                    const Tensor& y) = 0;
    virtual Tensor cast_impl(const Tensor& x, DType dtype) = 0;
    virtual void fill_impl(Tensor& x, float value) = 0;
    virtual void increment_impl(Tensor& counter) = 0;
    virtual void fill_uniform_impl(Tensor& x, const Random& random, uint64_t first_item, float low, float range) = 0;
    virtual void crop_flip_impl(Tensor& images, std::span<const CropFlip> placements) = 0;
    virtual Tensor nchw_to_nhwc_impl(const Tensor& matrix, const Shape& shape) = 0;
    virtual Tensor nhwc_to_nchw_impl(const Tensor& x) = 0;
    virtual void set_scalars_impl(Tensor& scalars, std::span<const float> values) = 0;
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
    virtual void clip_factor_impl(std::span<const Tensor> grads, float max_norm, Tensor& factor) = 0;
    virtual void ema_impl(std::span<EmaItem> items, const Ema& op) = 0;

private:
    // The checks behind the fronts. need_activation() takes float32 everywhere and bfloat16 on GPUs; it returns which.
    void need(const char* op, const char* what, const Tensor& tensor, DType dtype = DType::float32) const;
    void need_rank(const char* op, const char* what, const Tensor& tensor, int rank,
                   DType dtype = DType::float32) const;
    void need_shape(const char* op, const char* what, const Tensor& tensor, const Shape& shape,
                    DType dtype = DType::float32) const;
    void need_rows(const char* op, const char* what, const Tensor& tensor) const;  // [M,F] or [N,T,F]
    DType need_activation(const char* op, const char* what, const Tensor& tensor) const;
    void need_labels(const char* op, const Tensor& labels, const Tensor& rows) const;
    void need_binary_grad(Binary op, const Tensor& grad_y, const Tensor& a, const Tensor& b, const Tensor& y) const;
    void need_pgd(const char* op, const Tensor& x_adv, const Tensor& x, const PgdStep& step) const;
    void need_clip(const char* op, const GradientClip& clip) const;
    void need_penalty(const char* op, const Penalty& penalty, const Tensor& param) const;
};

// The backend of a device. Throws Error naming what is missing when this machine or this build has no such device.
Backend& backend(Device device);
// The backend that holds `tensor`.
Backend& backend(const Tensor& tensor);

// Defined by cpu/, by cuda/ (or by cuda/no_cuda.cpp, which throws) and by cuda/emulation/; called by backend().
std::unique_ptr<Backend> make_cpu_backend();
std::unique_ptr<Backend> make_cuda_backend();
std::unique_ptr<Backend> make_emulated_backend();

// Counters of the CPU backend's plan cache, for tests and benchmarks: after warm-up a step must build none.
uint64_t plans_built();

}  // namespace lethe
