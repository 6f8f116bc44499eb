#include "autograd/multiply_adds.h"
#include "autograd/ops.h"

namespace lethe {
namespace {

Tensor weight_gradient(const Tensor& grad_y, const Tensor& x, const Shape& w, const Conv2d& op) {
    if (PerSampleMagnitudes::wanted()) return backend(grad_y).conv2d_grad_w_abs(grad_y, x, w, op);
    return backend(grad_y).conv2d_grad_w(grad_y, x, w, op);
}

// Of a bias: the sum over pixels. Of each sample alone: the magnitude of its own sum.
Tensor bias_gradient(const Tensor& grad_y) {
    Backend& device = backend(grad_y);
    if (!PerSampleMagnitudes::wanted()) return device.column_sum(device.cast(grad_y, DType::float32).pixel_rows());
    const Tensor means = device.global_avg_pool(grad_y);
    Tensor magnitudes = Tensor::zeros(means.shape(), DType::float32, means.device());
    device.abs_accumulate(static_cast<float>(grad_y.dim(2) * grad_y.dim(3)), means, magnitudes);
    return device.column_sum(magnitudes);
}

Tensor counted(const Tensor& x, const Tensor& w, const Conv2d& op) {
    return MultiplyAdds::counted(op.output_shape(x.shape(), w.shape()), w.numel() / w.dim(0), x.device());
}

}  // namespace

Var conv2d(const Var& x, const Var& w, const Conv2d& op) {
    if (MultiplyAdds::counting()) return counted(x.value(), w.value(), op);
    Tensor y = backend(x.value()).conv2d(x.value(), w.value(), op);
    return Var::computed(std::move(y), {x, w}, [x, w, op](detail::Node& node) {
        if (w.requires_grad()) Var::accumulate(w, weight_gradient(node.grad, x.value(), w.shape(), op));
        if (x.requires_grad())
            Var::accumulate(x, backend(node.grad).conv2d_grad_x(node.grad, w.value(), x.shape(), op));
    });
}

Var conv2d_fused(const Var& x, const Var& w, const Var& bias, const Var& residual, bool relu, const Conv2d& op) {
    if (MultiplyAdds::counting()) return counted(x.value(), w.value(), op);
    const Tensor added = residual.defined() ? residual.value() : Tensor();
    Tensor y = backend(x.value()).conv2d_fused(x.value(), w.value(), bias.value(), added, relu, op);
    std::vector<Var> inputs{x, w, bias};
    if (residual.defined()) inputs.push_back(residual);
    Var result = Var::computed(std::move(y), std::move(inputs), [x, w, bias, residual, relu, op](detail::Node& node) {
        Backend& device = backend(node.grad);
        const bool to_mask = relu && !node.grad_masked;
        const Tensor grad = to_mask ? device.relu_mask_add(node.grad, Tensor(), node.value) : node.grad;
        if (w.requires_grad()) Var::accumulate(w, weight_gradient(grad, x.value(), w.shape(), op));
        if (bias.requires_grad()) Var::accumulate(bias, bias_gradient(grad));
        if (residual.requires_grad()) Var::accumulate(residual, grad);
        if (!x.requires_grad()) return;
        // Where x is itself the result of a relu, what has come over the skip connection (later operations have had
        // their turn) is added and the relu's mask applied in the same pass.
        if (x.node()->masks_grad)
            Var::replace_masked(x, device.conv2d_grad_x_masked(grad, w.value(), op, x.grad(), x.value()));
        else
            Var::accumulate(x, device.conv2d_grad_x(grad, w.value(), x.shape(), op));
    });
    result.node()->masks_grad = relu;
    return result;
}

}  // namespace lethe
