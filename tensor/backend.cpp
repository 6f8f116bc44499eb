// The checked fronts: every argument check of every operation, once for all devices.
#include "tensor/backend.h"

#include <cmath>
#include <mutex>

#include "tensor/error.h"

namespace lethe {
namespace {

void need(const char* op, const char* what, const Tensor& tensor, DType dtype = DType::float32) {
    check(tensor.defined(), op, ": ", what, " is undefined");
    check(tensor.dtype() == dtype, op, ": ", what, " must be ", name(dtype), ", got ", name(tensor.dtype()));
}

void need_rank(const char* op, const char* what, const Tensor& tensor, int rank) {
    need(op, what, tensor);
    check(tensor.rank() == rank, op, ": ", what, " must have ", rank, " dimensions, got ", tensor.shape());
}

void need_shape(const char* op, const char* what, const Tensor& tensor, const Shape& shape,
                DType dtype = DType::float32) {
    need(op, what, tensor, dtype);
    check(tensor.shape() == shape, op, ": ", what, " must be ", shape, ", got ", tensor.shape());
}

void need_batchnorm(const char* op, const Tensor& x, const Tensor& gamma) {
    need_rank(op, "x", x, 4);
    need_shape(op, "gamma", gamma, {x.dim(1)});
}

void need_labels(const char* op, const Tensor& labels, const Tensor& rows) {
    need_shape(op, "labels", labels, {rows.dim(0)}, DType::int64);
    const int64_t classes = rows.dim(1);
    for (const int64_t label : labels.int64_values())
        check(label >= 0 && label < classes, op, ": label ", label, " is outside [0, ", classes, ")");
}

}  // namespace

Backend& backend(Device device) {
    // Never destroyed: see CachingAllocator::cpu().
    if (device == Device::cpu) {
        static Backend* cpu = make_cpu_backend().release();
        return *cpu;
    }
    static Backend* cuda = make_cuda_backend().release();
    return *cuda;
}

Backend& backend(const Tensor& tensor) { return backend(tensor.device()); }

Tensor Backend::conv2d(const Tensor& x, const Tensor& w, const Conv2d& op) {
    need("conv2d", "x", x);
    need("conv2d", "w", w);
    op.output_shape(x.shape(), w.shape());
    return conv2d_impl(x, w, op);
}

Tensor Backend::conv2d_grad_x(const Tensor& grad_y, const Tensor& w, const Shape& x, const Conv2d& op) {
    need("conv2d_grad_x", "w", w);
    need_shape("conv2d_grad_x", "grad_y", grad_y, op.output_shape(x, w.shape()));
    return conv2d_grad_x_impl(grad_y, w, x, op);
}

Tensor Backend::conv2d_grad_w(const Tensor& grad_y, const Tensor& x, const Shape& w, const Conv2d& op) {
    need("conv2d_grad_w", "x", x);
    need_shape("conv2d_grad_w", "grad_y", grad_y, op.output_shape(x.shape(), w));
    return conv2d_grad_w_impl(grad_y, x, w, op);
}

Tensor Backend::conv2d_fused(const Tensor& x, const Tensor& w, const Tensor& bias, const Tensor& residual, bool relu,
                             const Conv2d& op) {
    need("conv2d_fused", "x", x);
    need("conv2d_fused", "w", w);
    const Shape y = op.output_shape(x.shape(), w.shape());
    need_shape("conv2d_fused", "bias", bias, {w.dim(0)});
    if (residual.defined()) need_shape("conv2d_fused", "residual", residual, y);
    return conv2d_fused_impl(x, w, bias, residual, relu, op);
}

Tensor Backend::batchnorm(const Tensor& x, const Tensor& gamma, const Tensor& beta, Tensor& running_mean,
                          Tensor& running_var, const Tensor& residual, const BatchNorm& op, BatchNormSaved& saved) {
    need_batchnorm("batchnorm", x, gamma);
    need_shape("batchnorm", "beta", beta, gamma.shape());
    need_shape("batchnorm", "running_mean", running_mean, gamma.shape());
    need_shape("batchnorm", "running_var", running_var, gamma.shape());
    if (residual.defined()) need_shape("batchnorm", "residual", residual, x.shape());
    check(op.eps > 0 && op.momentum >= 0 && op.momentum <= 1, "batchnorm: eps must be > 0 and momentum in [0,1], got ",
          op.eps, " and ", op.momentum);
    check(!op.batch_statistics || x.dim(0) * x.dim(2) * x.dim(3) > 1,
          "batchnorm: batch statistics need more than one value per channel, got x ", x.shape());
    return batchnorm_impl(x, gamma, beta, running_mean, running_var, residual, op, saved);
}

BatchNormGrads Backend::batchnorm_grad(const Tensor& grad_y, const Tensor& y, const Tensor& x, const Tensor& gamma,
                                       const BatchNormSaved& saved, const BatchNorm& op, bool want_x, bool want_affine,
                                       bool want_residual) {
    need_batchnorm("batchnorm_grad", x, gamma);
    need_shape("batchnorm_grad", "grad_y", grad_y, x.shape());
    need_shape("batchnorm_grad", "y", y, x.shape());
    need_shape("batchnorm_grad", "saved mean", saved.mean, gamma.shape());
    need_shape("batchnorm_grad", "saved inv_std", saved.inv_std, gamma.shape());
    return batchnorm_grad_impl(grad_y, y, x, gamma, saved, op, want_x, want_affine, want_residual);
}

Tensor Backend::max_pool2d(const Tensor& x, const Pool2d& op, Tensor& argmax) {
    need("max_pool2d", "x", x);
    op.output_shape(x.shape());
    return max_pool2d_impl(x, op, argmax);
}

Tensor Backend::max_pool2d_grad(const Tensor& grad_y, const Tensor& argmax, const Shape& x) {
    need_rank("max_pool2d_grad", "grad_y", grad_y, 4);
    need_shape("max_pool2d_grad", "argmax", argmax, {grad_y.numel()}, DType::int64);
    return max_pool2d_grad_impl(grad_y, argmax, x);
}

Tensor Backend::global_avg_pool(const Tensor& x) {
    need_rank("global_avg_pool", "x", x, 4);
    check(x.dim(2) * x.dim(3) > 0, "global_avg_pool: x has no pixels: ", x.shape());
    return global_avg_pool_impl(x);
}

Tensor Backend::global_avg_pool_grad(const Tensor& grad_y, const Shape& x) {
    check(x.rank() == 4, "global_avg_pool_grad: x must be [N,C,H,W], got ", x);
    need_shape("global_avg_pool_grad", "grad_y", grad_y, {x[0], x[1]});
    return global_avg_pool_grad_impl(grad_y, x);
}

Tensor Backend::linear(const Tensor& x, const Tensor& w, const Tensor& b) {
    need_rank("linear", "x", x, 2);
    need_rank("linear", "w", w, 2);
    check(w.dim(1) == x.dim(1), "linear: w ", w.shape(), " expects ", w.dim(1), " features, x ", x.shape(), " has ",
          x.dim(1));
    need_shape("linear", "b", b, {w.dim(0)});
    return linear_impl(x, w, b);
}

Tensor Backend::linear_grad_x(const Tensor& grad_y, const Tensor& w) {
    need_rank("linear_grad_x", "w", w, 2);
    need_rank("linear_grad_x", "grad_y", grad_y, 2);
    need_shape("linear_grad_x", "grad_y", grad_y, {grad_y.dim(0), w.dim(0)});
    return linear_grad_x_impl(grad_y, w);
}

Tensor Backend::linear_grad_w(const Tensor& grad_y, const Tensor& x) {
    need_rank("linear_grad_w", "x", x, 2);
    need_rank("linear_grad_w", "grad_y", grad_y, 2);
    need_shape("linear_grad_w", "grad_y", grad_y, {x.dim(0), grad_y.dim(1)});
    return linear_grad_w_impl(grad_y, x);
}

Tensor Backend::column_sum(const Tensor& x) {
    need_rank("column_sum", "x", x, 2);
    return column_sum_impl(x);
}

Tensor Backend::shortcut_a(const Tensor& x, int64_t channels, int64_t stride) {
    need_rank("shortcut_a", "x", x, 4);
    check(stride >= 1, "shortcut_a: stride must be >= 1, got ", stride);
    check(channels >= x.dim(1) && (channels - x.dim(1)) % 2 == 0, "shortcut_a: cannot pad ", x.dim(1),
          " channels equally on both sides to ", channels);
    return shortcut_a_impl(x, channels, stride);
}

Tensor Backend::shortcut_a_grad(const Tensor& grad_y, const Shape& x, int64_t stride) {
    need_rank("shortcut_a_grad", "grad_y", grad_y, 4);
    check(x.rank() == 4 && stride >= 1, "shortcut_a_grad: x must be [N,C,H,W] and stride >= 1, got ", x, " and ",
          stride);
    need_shape("shortcut_a_grad", "grad_y", grad_y,
               {x[0], grad_y.dim(1), (x[2] + stride - 1) / stride, (x[3] + stride - 1) / stride});
    return shortcut_a_grad_impl(grad_y, x, stride);
}

Tensor Backend::normalize(const Tensor& x, const Tensor& mean, const Tensor& std) {
    need_rank("normalize", "x", x, 4);
    need_shape("normalize", "mean", mean, {x.dim(1)});
    need_shape("normalize", "std", std, {x.dim(1)});
    return normalize_impl(x, mean, std);
}

Tensor Backend::normalize_grad(const Tensor& grad_y, const Tensor& std) {
    need_rank("normalize_grad", "grad_y", grad_y, 4);
    need_shape("normalize_grad", "std", std, {grad_y.dim(1)});
    return normalize_grad_impl(grad_y, std);
}

Tensor Backend::softmax_cross_entropy(const Tensor& logits, const Tensor& labels, Tensor& probabilities) {
    need_rank("softmax_cross_entropy", "logits", logits, 2);
    need_labels("softmax_cross_entropy", labels, logits);
    return softmax_cross_entropy_impl(logits, labels, probabilities);
}

Tensor Backend::softmax_cross_entropy_grad(const Tensor& grad_loss, const Tensor& probabilities, const Tensor& labels) {
    need_rank("softmax_cross_entropy_grad", "probabilities", probabilities, 2);
    need_labels("softmax_cross_entropy_grad", labels, probabilities);
    need_shape("softmax_cross_entropy_grad", "grad_loss", grad_loss, {probabilities.dim(0)});
    return softmax_cross_entropy_grad_impl(grad_loss, probabilities, labels);
}

Tensor Backend::unary(Unary op, const Tensor& x) {
    need(name(op), "x", x);
    return unary_impl(op, x);
}

Tensor Backend::unary_grad(Unary op, const Tensor& grad_y, const Tensor& x, const Tensor& y) {
    need(name(op), "x", x);
    need_shape(name(op), "y", y, x.shape());
    need_shape(name(op), "grad_y", grad_y, x.shape());
    return unary_grad_impl(op, grad_y, x, y);
}

Tensor Backend::binary(Binary op, const Tensor& a, const Tensor& b) {
    need(name(op), "a", a);
    need_shape(name(op), "b", b, a.shape());
    return binary_impl(op, a, b);
}

Tensor Backend::binary_grad_a(Binary op, const Tensor& grad_y, const Tensor& a, const Tensor& b, const Tensor& y) {
    need(name(op), "a", a);
    need_shape(name(op), "b", b, a.shape());
    need_shape(name(op), "grad_y", grad_y, a.shape());
    return binary_grad_impl(op, false, grad_y, a, b, y);
}

Tensor Backend::binary_grad_b(Binary op, const Tensor& grad_y, const Tensor& a, const Tensor& b, const Tensor& y) {
    need(name(op), "a", a);
    need_shape(name(op), "b", b, a.shape());
    need_shape(name(op), "grad_y", grad_y, a.shape());
    return binary_grad_impl(op, true, grad_y, a, b, y);
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
    need("relu_mask_add", "a", a);
    need_shape("relu_mask_add", "y", y, a.shape());
    if (b.defined()) need_shape("relu_mask_add", "b", b, a.shape());
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

namespace {

void need_pgd(const char* op, const Tensor& x_adv, const Tensor& x, const PgdStep& step) {
    need(op, "x", x);
    check(x.rank() >= 2, op, ": x must be [N, ...], got ", x.shape());
    need_shape(op, "x_adv", x_adv, x.shape());
    check(step.eps >= 0 && std::isfinite(step.eps), op, ": eps must be a finite number >= 0, got ", step.eps);
    check(step.low <= step.high, op, ": the box [", step.low, ", ", step.high, "] is empty");
}

}  // namespace

void Backend::pgd_step(Tensor& x_adv, const Tensor& x, const Tensor& grad, const PgdStep& op) {
    need_pgd("pgd_step", x_adv, x, op);
    need_shape("pgd_step", "grad", grad, x.shape());
    pgd_step_impl(x_adv, x, &grad, op);
}

void Backend::pgd_project(Tensor& x_adv, const Tensor& x, const PgdStep& op) {
    need_pgd("pgd_project", x_adv, x, op);
    pgd_step_impl(x_adv, x, nullptr, op);
}

namespace {

void need_penalty(const char* op, const Penalty& penalty, const Tensor& param) {
    if (!penalty.weight.defined()) return;
    need_shape(op, "penalty weight", penalty.weight, param.shape());
    need_shape(op, "penalty anchor", penalty.anchor, param.shape());
}

}  // namespace

void Backend::sgd(std::span<SgdItem> items, const Sgd& op) {
    for (const SgdItem& item : items) {
        need("sgd", "param", item.param);
        need_shape("sgd", "grad", item.grad, item.param.shape());
        if (op.momentum != 0.0f) need_shape("sgd", "momentum", item.momentum, item.param.shape());
        need_penalty("sgd", item.penalty, item.param);
    }
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
    adam_impl(items, op);
}

}  // namespace lethe
