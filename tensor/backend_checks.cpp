// The argument checks behind the fronts, and the operations that every device has in composed form.
#include <cmath>

#include "tensor/backend.h"
#include "tensor/error.h"

namespace lethe {

void Backend::need(const char* op, const char* what, const Tensor& tensor, DType dtype) const {
    check(tensor.defined(), op, ": ", what, " is undefined");
    check(tensor.dtype() == dtype, op, ": ", what, " must be ", name(dtype), ", got ", name(tensor.dtype()));
    check(tensor.device() == device(), op, ": ", what, " is on ", name(tensor.device()), ", the operation runs on ",
          name(device()));
}

void Backend::need_rank(const char* op, const char* what, const Tensor& tensor, int rank, DType dtype) const {
    need(op, what, tensor, dtype);
    check(tensor.rank() == rank, op, ": ", what, " must have ", rank, " dimensions, got ", tensor.shape());
}

void Backend::need_shape(const char* op, const char* what, const Tensor& tensor, const Shape& shape,
                         DType dtype) const {
    need(op, what, tensor, dtype);
    check(tensor.shape() == shape, op, ": ", what, " must be ", shape, ", got ", tensor.shape());
}

void Backend::need_rows(const char* op, const char* what, const Tensor& tensor) const {
    need(op, what, tensor);
    check(tensor.rank() == 2 || tensor.rank() == 3, op, ": ", what, " must be [M,F] or [N,T,F], got ", tensor.shape());
}

DType Backend::need_activation(const char* op, const char* what, const Tensor& tensor) const {
    check(tensor.defined(), op, ": ", what, " is undefined");
    const bool half = tensor.dtype() == DType::bfloat16 && device() != Device::cpu;
    need(op, what, tensor, half ? DType::bfloat16 : DType::float32);
    return tensor.dtype();
}

void Backend::need_labels(const char* op, const Tensor& labels, const Tensor& rows) const {
    need_shape(op, "labels", labels, {rows.dim(0)}, DType::int64);
    if (device() != Device::cpu) return;  // reading them would wait for the device
    const int64_t classes = rows.dim(1);
    for (const int64_t label : labels.int64_values())
        check(label >= 0 && label < classes, op, ": label ", label, " is outside [0, ", classes, ")");
}

void Backend::need_binary_grad(Binary op, const Tensor& grad_y, const Tensor& a, const Tensor& b,
                               const Tensor& y) const {
    const DType type = need_activation(name(op), "a", a);
    need_shape(name(op), "b", b, a.shape(), type);
    need_shape(name(op), "y", y, a.shape(), type);
    need_shape(name(op), "grad_y", grad_y, a.shape(), type);
}

void Backend::need_pgd(const char* op, const Tensor& x_adv, const Tensor& x, const PgdStep& step) const {
    need(op, "x", x);
    check(x.rank() >= 2, op, ": x must be [N, ...], got ", x.shape());
    need_shape(op, "x_adv", x_adv, x.shape());
    check(step.eps >= 0 && std::isfinite(step.eps), op, ": eps must be a finite number >= 0, got ", step.eps);
    check(step.low <= step.high, op, ": the box [", step.low, ", ", step.high, "] is empty");
}

void Backend::need_clip(const char* op, const GradientClip& clip) const {
    check(clip.value >= 0.0f, op, ": the clip value is ", clip.value, "; it must be >= 0");
    if (clip.factor.defined()) need_shape(op, "clip factor", clip.factor, {2});
}

void Backend::need_penalty(const char* op, const Penalty& penalty, const Tensor& param) const {
    if (!penalty.weight.defined()) return;
    need_shape(op, "penalty weight", penalty.weight, param.shape());
    need_shape(op, "penalty anchor", penalty.anchor, param.shape());
}

void Backend::set_precision(Precision precision) {
    check(precision == Precision::strict, "precision ", name(precision),
          " needs a GPU; the CPU computes in float32 only (strict)");
}

namespace {

class PlainUploader : public Backend::Uploader {
    void send(const Tensor& host, Tensor& target) override { target.copy_from(host); }
};

}  // namespace

std::unique_ptr<Backend::Uploader> Backend::make_uploader() { return std::make_unique<PlainUploader>(); }

Tensor Backend::conv2d_grad_x_masked_impl(const Tensor& grad_y, const Tensor& w, const Conv2d& op, const Tensor& skip,
                                          const Tensor& mask) {
    return relu_mask_add_impl(conv2d_grad_x_impl(grad_y, w, mask.shape(), op), skip, mask);
}

Tensor Backend::conv2d_grad_w_abs_impl(const Tensor& grad_y, const Tensor& x, const Shape& w, const Conv2d& op) {
    Tensor total = Tensor::zeros(w, DType::float32, device());
    for (int64_t n = 0; n < x.dim(0); ++n)
        abs_accumulate_impl(1.0f, conv2d_grad_w_impl(grad_y.rows(n, n + 1), x.rows(n, n + 1), w, op), total);
    return total;
}

BatchNormGrads Backend::batchnorm_grad_abs_impl(const Tensor& grad_y, const Tensor& y, const Tensor& x,
                                                const BatchNormSaved& saved, const BatchNorm& op) {
    const Shape channels{x.dim(1)};
    BatchNormGrads total;
    total.grad_gamma = Tensor::zeros(channels, DType::float32, device());
    total.grad_beta = Tensor::zeros(channels, DType::float32, device());
    const Tensor gamma = Tensor::full(channels, 1.0f, device());  // its own gradient does not depend on it
    for (int64_t n = 0; n < x.dim(0); ++n) {
        const BatchNormGrads one = batchnorm_grad_impl(grad_y.rows(n, n + 1), y.rows(n, n + 1), x.rows(n, n + 1), gamma,
                                                       saved, op, false, true, false);
        abs_accumulate_impl(1.0f, one.grad_gamma, total.grad_gamma);
        abs_accumulate_impl(1.0f, one.grad_beta, total.grad_beta);
    }
    return total;
}

}  // namespace lethe
