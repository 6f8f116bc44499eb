// The checked fronts of every operation, once for all devices. What they check with is in backend_checks.cpp.
#include "tensor/backend.h"

#include <mutex>

#include "tensor/error.h"

namespace lethe {
const char* name(Precision precision) {
    switch (precision) {
        case Precision::strict:
            return "strict";
        case Precision::tf32:
            return "tf32";
        case Precision::bf16:
            return "bf16";
    }
    return "";
}

Backend& backend(Device device) {
    // Never destroyed: see CachingAllocator::cpu().
    if (device == Device::cpu) {
        static Backend* cpu = make_cpu_backend().release();
        return *cpu;
    }
    if (device == Device::emulated) {
        static Backend* emulated = make_emulated_backend().release();
        return *emulated;
    }
    static Backend* cuda = make_cuda_backend().release();
    return *cuda;
}

Backend& backend(const Tensor& tensor) { return backend(tensor.device()); }

Tensor Backend::conv2d(const Tensor& x, const Tensor& w, const Conv2d& op) {
    need_activation("conv2d", "x", x);
    need("conv2d", "w", w);
    op.output_shape(x.shape(), w.shape());
    return conv2d_impl(x, w, op);
}

Tensor Backend::conv2d_grad_x(const Tensor& grad_y, const Tensor& w, const Shape& x, const Conv2d& op) {
    need("conv2d_grad_x", "w", w);
    const DType type = need_activation("conv2d_grad_x", "grad_y", grad_y);
    need_shape("conv2d_grad_x", "grad_y", grad_y, op.output_shape(x, w.shape()), type);
    return conv2d_grad_x_impl(grad_y, w, x, op);
}

Tensor Backend::conv2d_grad_x_masked(const Tensor& grad_y, const Tensor& w, const Conv2d& op, const Tensor& skip,
                                     const Tensor& mask) {
    need("conv2d_grad_x_masked", "w", w);
    const DType type = need_activation("conv2d_grad_x_masked", "mask", mask);
    need_shape("conv2d_grad_x_masked", "grad_y", grad_y, op.output_shape(mask.shape(), w.shape()), type);
    if (skip.defined()) need_shape("conv2d_grad_x_masked", "skip", skip, mask.shape(), type);
    return conv2d_grad_x_masked_impl(grad_y, w, op, skip, mask);
}

Tensor Backend::conv2d_grad_w(const Tensor& grad_y, const Tensor& x, const Shape& w, const Conv2d& op) {
    const DType type = need_activation("conv2d_grad_w", "x", x);
    need_shape("conv2d_grad_w", "grad_y", grad_y, op.output_shape(x.shape(), w), type);
    return conv2d_grad_w_impl(grad_y, x, w, op);
}

Tensor Backend::conv2d_fused(const Tensor& x, const Tensor& w, const Tensor& bias, const Tensor& residual, bool relu,
                             const Conv2d& op) {
    const DType type = need_activation("conv2d_fused", "x", x);
    need("conv2d_fused", "w", w);
    const Shape y = op.output_shape(x.shape(), w.shape());
    need_shape("conv2d_fused", "bias", bias, {w.dim(0)});
    if (residual.defined()) need_shape("conv2d_fused", "residual", residual, y, type);
    return conv2d_fused_impl(x, w, bias, residual, relu, op);
}

Tensor Backend::batchnorm(const Tensor& x, const Tensor& gamma, const Tensor& beta, Tensor& running_mean,
                          Tensor& running_var, const Tensor& residual, const BatchNorm& op, BatchNormSaved& saved) {
    const DType type = need_activation("batchnorm", "x", x);
    need_rank("batchnorm", "x", x, 4, type);
    need_shape("batchnorm", "gamma", gamma, {x.dim(1)});
    need_shape("batchnorm", "beta", beta, gamma.shape());
    need_shape("batchnorm", "running_mean", running_mean, gamma.shape());
    need_shape("batchnorm", "running_var", running_var, gamma.shape());
    if (residual.defined()) need_shape("batchnorm", "residual", residual, x.shape(), type);
    check(op.eps > 0 && op.momentum >= 0 && op.momentum <= 1, "batchnorm: eps must be > 0 and momentum in [0,1], got ",
          op.eps, " and ", op.momentum);
    check(!op.batch_statistics || x.dim(0) * x.dim(2) * x.dim(3) > 1,
          "batchnorm: batch statistics need more than one value per channel, got x ", x.shape());
    return batchnorm_impl(x, gamma, beta, running_mean, running_var, residual, op, saved);
}

BatchNormGrads Backend::batchnorm_grad(const Tensor& grad_y, const Tensor& y, const Tensor& x, const Tensor& gamma,
                                       const BatchNormSaved& saved, const BatchNorm& op, bool want_x, bool want_affine,
                                       bool want_residual) {
    const DType type = need_activation("batchnorm_grad", "x", x);
    need_rank("batchnorm_grad", "x", x, 4, type);
    need_shape("batchnorm_grad", "gamma", gamma, {x.dim(1)});
    need_shape("batchnorm_grad", "grad_y", grad_y, x.shape(), type);
    need_shape("batchnorm_grad", "y", y, x.shape(), type);
    need_shape("batchnorm_grad", "saved mean", saved.mean, gamma.shape());
    need_shape("batchnorm_grad", "saved inv_std", saved.inv_std, gamma.shape());
    return batchnorm_grad_impl(grad_y, y, x, gamma, saved, op, want_x, want_affine, want_residual);
}

void Backend::fold_batchnorm(const Tensor& w, const Tensor& gamma, const Tensor& beta, const Tensor& mean,
                             const Tensor& var, float eps, Tensor& w_folded, Tensor& b_folded) {
    need_rank("fold_batchnorm", "w", w, 4);
    const Shape channels{w.dim(0)};
    need_shape("fold_batchnorm", "gamma", gamma, channels);
    need_shape("fold_batchnorm", "beta", beta, channels);
    need_shape("fold_batchnorm", "mean", mean, channels);
    need_shape("fold_batchnorm", "var", var, channels);
    need_shape("fold_batchnorm", "w_folded", w_folded, w.shape());
    need_shape("fold_batchnorm", "b_folded", b_folded, channels);
    fold_batchnorm_impl(w, gamma, beta, mean, var, eps, w_folded, b_folded);
}

Tensor Backend::conv2d_grad_w_abs(const Tensor& grad_y, const Tensor& x, const Shape& w, const Conv2d& op) {
    const DType type = need_activation("conv2d_grad_w_abs", "x", x);
    need_shape("conv2d_grad_w_abs", "grad_y", grad_y, op.output_shape(x.shape(), w), type);
    return conv2d_grad_w_abs_impl(grad_y, x, w, op);
}

BatchNormGrads Backend::batchnorm_grad_abs(const Tensor& grad_y, const Tensor& y, const Tensor& x,
                                           const BatchNormSaved& saved, const BatchNorm& op) {
    const DType type = need_activation("batchnorm_grad_abs", "x", x);
    need_rank("batchnorm_grad_abs", "x", x, 4, type);
    need_shape("batchnorm_grad_abs", "grad_y", grad_y, x.shape(), type);
    need_shape("batchnorm_grad_abs", "y", y, x.shape(), type);
    need_shape("batchnorm_grad_abs", "saved mean", saved.mean, {x.dim(1)});
    need_shape("batchnorm_grad_abs", "saved inv_std", saved.inv_std, {x.dim(1)});
    check(!op.batch_statistics,
          "batchnorm_grad_abs: with batch statistics no sample has a gradient of its own; use running statistics");
    return batchnorm_grad_abs_impl(grad_y, y, x, saved, op);
}

Tensor Backend::max_pool2d(const Tensor& x, const Pool2d& op, Tensor& argmax) {
    need_activation("max_pool2d", "x", x);
    op.output_shape(x.shape());
    return max_pool2d_impl(x, op, argmax);
}

Tensor Backend::max_pool2d_grad(const Tensor& grad_y, const Tensor& argmax, const Shape& x, const Pool2d& op) {
    const DType type = need_activation("max_pool2d_grad", "grad_y", grad_y);
    need_shape("max_pool2d_grad", "grad_y", grad_y, op.output_shape(x), type);
    need_shape("max_pool2d_grad", "argmax", argmax, {grad_y.numel()}, DType::int64);
    return max_pool2d_grad_impl(grad_y, argmax, x, op);
}

Tensor Backend::avg_pool2d(const Tensor& x, const Pool2d& op) {
    need_activation("avg_pool2d", "x", x);
    op.output_shape(x.shape());
    return avg_pool2d_impl(x, op);
}

Tensor Backend::avg_pool2d_grad(const Tensor& grad_y, const Shape& x, const Pool2d& op) {
    const DType type = need_activation("avg_pool2d_grad", "grad_y", grad_y);
    need_shape("avg_pool2d_grad", "grad_y", grad_y, op.output_shape(x), type);
    return avg_pool2d_grad_impl(grad_y, x, op);
}

Tensor Backend::global_avg_pool(const Tensor& x) {
    need_rank("global_avg_pool", "x", x, 4, need_activation("global_avg_pool", "x", x));
    check(x.dim(2) * x.dim(3) > 0, "global_avg_pool: x has no pixels: ", x.shape());
    return global_avg_pool_impl(x);
}

Tensor Backend::global_avg_pool_grad(const Tensor& grad_y, const Shape& x, DType dtype) {
    check(x.rank() == 4, "global_avg_pool_grad: x must be [N,C,H,W], got ", x);
    need_shape("global_avg_pool_grad", "grad_y", grad_y, {x[0], x[1]});
    return global_avg_pool_grad_impl(grad_y, x, dtype);
}

Tensor Backend::column_sum(const Tensor& x) {
    need_rank("column_sum", "x", x, 2);
    return column_sum_impl(x);
}

Tensor Backend::shortcut_a(const Tensor& x, int64_t channels, int64_t stride) {
    need_rank("shortcut_a", "x", x, 4, need_activation("shortcut_a", "x", x));
    check(stride >= 1, "shortcut_a: stride must be >= 1, got ", stride);
    check(channels >= x.dim(1) && (channels - x.dim(1)) % 2 == 0, "shortcut_a: cannot pad ", x.dim(1),
          " channels equally on both sides to ", channels);
    return shortcut_a_impl(x, channels, stride);
}

Tensor Backend::shortcut_a_grad(const Tensor& grad_y, const Shape& x, int64_t stride) {
    const DType type = need_activation("shortcut_a_grad", "grad_y", grad_y);
    need_rank("shortcut_a_grad", "grad_y", grad_y, 4, type);
    check(x.rank() == 4 && stride >= 1, "shortcut_a_grad: x must be [N,C,H,W] and stride >= 1, got ", x, " and ",
          stride);
    need_shape("shortcut_a_grad", "grad_y", grad_y,
               {x[0], grad_y.dim(1), (x[2] + stride - 1) / stride, (x[3] + stride - 1) / stride}, type);
    return shortcut_a_grad_impl(grad_y, x, stride);
}

Tensor Backend::concat_channels(std::span<const Tensor> parts) {
    check(!parts.empty(), "concat_channels: there is nothing to concatenate");
    const DType type = need_activation("concat_channels", "the first part", parts[0]);
    int64_t channels = 0;
    for (const Tensor& part : parts) {
        need_rank("concat_channels", "a part", part, 4, type);
        check(part.dim(0) == parts[0].dim(0) && part.dim(2) == parts[0].dim(2) && part.dim(3) == parts[0].dim(3),
              "concat_channels: parts must differ in their channels only, got ", parts[0].shape(), " and ",
              part.shape());
        channels += part.dim(1);
    }
    Tensor y = Tensor::empty({parts[0].dim(0), channels, parts[0].dim(2), parts[0].dim(3)}, type, device());
    int64_t begin = 0;
    for (const Tensor& part : parts) {
        copy_channels_impl(part, 0, y, begin, part.dim(1));
        begin += part.dim(1);
    }
    return y;
}

Tensor Backend::slice_channels(const Tensor& x, int64_t begin, int64_t end) {
    need_rank("slice_channels", "x", x, 4, need_activation("slice_channels", "x", x));
    check(0 <= begin && begin <= end && end <= x.dim(1), "slice_channels: [", begin, ", ", end,
          ") are not channels of x ", x.shape());
    Tensor y = Tensor::empty({x.dim(0), end - begin, x.dim(2), x.dim(3)}, x.dtype(), device());
    copy_channels_impl(x, begin, y, 0, end - begin);
    return y;
}

Tensor Backend::normalize(const Tensor& x, const Tensor& mean, const Tensor& std) {
    need_rank("normalize", "x", x, 4);
    need_shape("normalize", "mean", mean, {x.dim(1)});
    need_shape("normalize", "std", std, {x.dim(1)});
    return normalize_impl(x, mean, std);
}

Tensor Backend::normalize_grad(const Tensor& grad_y, const Tensor& std) {
    need_rank("normalize_grad", "grad_y", grad_y, 4, need_activation("normalize_grad", "grad_y", grad_y));
    need_shape("normalize_grad", "std", std, {grad_y.dim(1)});
    return normalize_grad_impl(grad_y, std);
}

Tensor Backend::softmax_cross_entropy(const Tensor& logits, const Tensor& labels, Tensor& probabilities,
                                      const CrossEntropy& op) {
    need_rank("softmax_cross_entropy", "logits", logits, 2);
    need_labels("softmax_cross_entropy", labels, logits);
    check(op.label_smoothing >= 0.0f && op.label_smoothing <= 1.0f, "softmax_cross_entropy: label_smoothing is ",
          op.label_smoothing, "; it must be in [0, 1]");
    return softmax_cross_entropy_impl(logits, labels, probabilities, op);
}

Tensor Backend::softmax_cross_entropy_grad(const Tensor& grad_loss, const Tensor& probabilities, const Tensor& labels,
                                           const CrossEntropy& op) {
    need_rank("softmax_cross_entropy_grad", "probabilities", probabilities, 2);
    need_labels("softmax_cross_entropy_grad", labels, probabilities);
    need_shape("softmax_cross_entropy_grad", "grad_loss", grad_loss, {probabilities.dim(0)});
    return softmax_cross_entropy_grad_impl(grad_loss, probabilities, labels, op);
}

Tensor Backend::log_odds_grad(const Tensor& logits, const Tensor& labels, const Tensor& active, float weight) {
    need_rank("log_odds_grad", "logits", logits, 2);
    need_labels("log_odds_grad", labels, logits);
    need_shape("log_odds_grad", "active", active, {logits.dim(0)});
    check(logits.dim(1) >= 2, "log_odds_grad: logits must have at least 2 classes, got ", logits.shape());
    return log_odds_grad_impl(logits, labels, active, weight);
}

Tensor Backend::unary(Unary op, const Tensor& x) {
    need_activation(name(op), "x", x);
    return unary_impl(op, x);
}

Tensor Backend::unary_grad(Unary op, const Tensor& grad_y, const Tensor& x, const Tensor& y) {
    const DType type = need_activation(name(op), "x", x);
    need_shape(name(op), "y", y, x.shape(), type);
    need_shape(name(op), "grad_y", grad_y, x.shape(), type);
    return unary_grad_impl(op, grad_y, x, y);
}

Tensor Backend::binary(Binary op, const Tensor& a, const Tensor& b) {
    need_shape(name(op), "b", b, a.shape(), need_activation(name(op), "a", a));
    return binary_impl(op, a, b);
}

Tensor Backend::binary_grad_a(Binary op, const Tensor& grad_y, const Tensor& a, const Tensor& b, const Tensor& y) {
    need_binary_grad(op, grad_y, a, b, y);
    return binary_grad_impl(op, false, grad_y, a, b, y);
}

Tensor Backend::binary_grad_b(Binary op, const Tensor& grad_y, const Tensor& a, const Tensor& b, const Tensor& y) {
    need_binary_grad(op, grad_y, a, b, y);
    return binary_grad_impl(op, true, grad_y, a, b, y);
}

Tensor Backend::cast(const Tensor& x, DType dtype) {
    check(x.defined() && x.dtype() != DType::int64 && dtype != DType::int64,
          "cast: only float32 and bfloat16 can be cast to one another");
    need("cast", "x", x, x.dtype());
    return x.dtype() == dtype ? x : cast_impl(x, dtype);
}

void Backend::fill(Tensor& x, float value) {
    need("fill", "x", x);
    fill_impl(x, value);
}

void Backend::increment(Tensor& counter) {
    need("increment", "counter", counter, DType::int64);
    check(counter.numel() == 1, "increment: the counter must have one element, got ", counter.shape());
    increment_impl(counter);
}

void Backend::fill_uniform(Tensor& x, const Random& random, uint64_t first_item, float low, float range) {
    need("fill_uniform", "x", x);
    check(x.rank() >= 1, "fill_uniform: x must be [N, ...], got ", x.shape());
    fill_uniform_impl(x, random, first_item, low, range);
}

void Backend::crop_flip(Tensor& images, std::span<const CropFlip> placements) {
    need_rank("crop_flip", "images", images, 4);
    check(static_cast<int64_t>(placements.size()) == images.dim(0), "crop_flip: ", placements.size(),
          " placements for ", images.dim(0), " images");
    crop_flip_impl(images, placements);
}

Tensor Backend::nchw_to_nhwc(const Tensor& matrix, const Shape& shape) {
    check(shape.rank() == 4, "nchw_to_nhwc: the result must be [N,C,H,W], got ", shape);
    need_shape("nchw_to_nhwc", "matrix", matrix, {shape[0] * shape[1], shape[2] * shape[3]});
    return nchw_to_nhwc_impl(matrix, shape);
}

Tensor Backend::nhwc_to_nchw(const Tensor& x) {
    need_rank("nhwc_to_nchw", "x", x, 4);
    return nhwc_to_nchw_impl(x);
}

void Backend::set_scalars(Tensor& scalars, std::span<const float> values) {
    check(values.size() <= 4, "set_scalars: at most 4 values, got ", values.size());
    need_shape("set_scalars", "scalars", scalars, {static_cast<int64_t>(values.size())});
    set_scalars_impl(scalars, values);
}

Tensor Backend::scale(const Tensor& x, float factor) {
    need("scale", "x", x);
    return scale_impl(x, factor);
}

void Backend::axpy(float factor, const Tensor& x, Tensor& y) {
    need("axpy", "x", x);
    need_shape("axpy", "y", y, x.shape());
    axpy_impl(factor, x, y);
}

void Backend::abs_accumulate(float factor, const Tensor& x, Tensor& y) {
    need("abs_accumulate", "x", x);
    need_shape("abs_accumulate", "y", y, x.shape());
    abs_accumulate_impl(factor, x, y);
}

Tensor Backend::relu_mask_add(const Tensor& a, const Tensor& b, const Tensor& y) {
    const DType type = need_activation("relu_mask_add", "a", a);
    need_shape("relu_mask_add", "y", y, a.shape(), type);
    if (b.defined()) need_shape("relu_mask_add", "b", b, a.shape(), type);
    return relu_mask_add_impl(a, b, y);
}

Tensor Backend::sum(const Tensor& x) {
    need("sum", "x", x);
    return sum_impl(x);
}

Tensor Backend::row_norm(const Tensor& x) {
    need("row_norm", "x", x);
    check(x.rank() >= 2, "row_norm: x must be [N, ...], got ", x.shape());
    return row_norm_impl(x);
}

Tensor Backend::row_scale(const Tensor& x, const Tensor& factor) {
    need("row_scale", "x", x);
    check(x.rank() >= 1, "row_scale: x must be [N, ...], got ", x.shape());
    need_shape("row_scale", "factor", factor, {x.dim(0)});
    return row_scale_impl(x, factor);
}

void Backend::pgd_step(Tensor& x_adv, const Tensor& x, const Tensor& grad, const PgdStep& op) {
    need_pgd("pgd_step", x_adv, x, op);
    need_shape("pgd_step", "grad", grad, x.shape());
    pgd_step_impl(x_adv, x, &grad, op);
}

void Backend::pgd_project(Tensor& x_adv, const Tensor& x, const PgdStep& op) {
    need_pgd("pgd_project", x_adv, x, op);
    pgd_step_impl(x_adv, x, nullptr, op);
}

void Backend::sgd(std::span<SgdItem> items, const Sgd& op) {
    for (const SgdItem& item : items) {
        need("sgd", "param", item.param);
        need_shape("sgd", "grad", item.grad, item.param.shape());
        if (op.momentum != 0.0f) need_shape("sgd", "momentum", item.momentum, item.param.shape());
        need_penalty("sgd", item.penalty, item.param);
    }
    need_clip("sgd", op.clip);
    if (op.scalars.defined()) need_shape("sgd", "scalars", op.scalars, {2});
    sgd_impl(items, op);
}

void Backend::adam(std::span<AdamItem> items, const Adam& op) {
    check(op.step >= 1, "adam: step counts from 1, got ", op.step);
    for (const AdamItem& item : items) {
        need("adam", "param", item.param);
        need_shape("adam", "grad", item.grad, item.param.shape());
        need_shape("adam", "exp_avg", item.exp_avg, item.param.shape());
        need_shape("adam", "exp_avg_sq", item.exp_avg_sq, item.param.shape());
        need_penalty("adam", item.penalty, item.param);
    }
    need_clip("adam", op.clip);
    if (op.scalars.defined()) need_shape("adam", "scalars", op.scalars, {4});
    adam_impl(items, op);
}

void Backend::clip_factor(std::span<const Tensor> grads, float max_norm, Tensor& factor) {
    check(max_norm > 0.0f, "clip_factor: max_norm is ", max_norm, "; it must be > 0");
    for (const Tensor& grad : grads) need("clip_factor", "grad", grad);
    need_shape("clip_factor", "factor", factor, {2});
    clip_factor_impl(grads, max_norm, factor);
}

void Backend::ema(std::span<EmaItem> items, const Ema& op) {
    check(op.decay >= 0.0f && op.decay < 1.0f, "ema: decay is ", op.decay, "; it must be in [0, 1)");
    for (const EmaItem& item : items) {
        need("ema", "average", item.average);
        need_shape("ema", "value", item.value, item.average.shape());
    }
    if (op.scalars.defined()) need_shape("ema", "scalars", op.scalars, {1});
    ema_impl(items, op);
}

}  // namespace lethe
