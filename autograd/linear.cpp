#include "autograd/multiply_adds.h"
#include "autograd/ops.h"

namespace lethe {
namespace {

Tensor counted(const Tensor& x, const Tensor& w) {
    const Shape y = x.rank() == 2 ? Shape{x.dim(0), w.dim(0)} : Shape{x.dim(0), x.dim(1), w.dim(0)};
    return MultiplyAdds::counted(y, w.dim(1), x.device());
}

Tensor magnitude(const Tensor& x) {
    Tensor result = Tensor::zeros(x.shape(), DType::float32, x.device());
    backend(x).abs_accumulate(1.0f, x, result);
    return result;
}

// Where a sample has one row, its gradient for w is an outer product, and |g x^T| = |g| |x|^T. The gradient from
// several rows is a sum, whose magnitude is that of no factors: each sample has its turn.
Tensor weight_magnitudes(const Tensor& grad, const Tensor& x) {
    Backend& device = backend(grad);
    if (x.rank() == 2) return device.linear_grad_w(magnitude(grad), magnitude(x));
    Tensor total = Tensor::zeros({grad.dim(2), x.dim(2)}, DType::float32, x.device());
    for (int64_t n = 0; n < x.dim(0); ++n)
        device.abs_accumulate(1.0f, device.linear_grad_w(grad.rows(n, n + 1), x.rows(n, n + 1)), total);
    return total;
}

Tensor bias_magnitudes(const Tensor& grad) {
    Backend& device = backend(grad);
    if (grad.rank() == 2) return device.column_sum(magnitude(grad));
    Tensor total = Tensor::zeros({grad.dim(2)}, DType::float32, grad.device());
    for (int64_t n = 0; n < grad.dim(0); ++n)
        device.abs_accumulate(1.0f, device.column_sum(grad.rows(n, n + 1).as_matrix()), total);
    return total;
}

}  // namespace

Var linear(const Var& x, const Var& w, const Var& b) {
    if (MultiplyAdds::counting()) return counted(x.value(), w.value());
    Tensor y = backend(x.value()).linear(x.value(), w.value(), b.value());
    return Var::computed(std::move(y), {x, w, b}, [x, w, b](detail::Node& node) {
        Backend& device = backend(node.grad);
        const bool per_sample = PerSampleMagnitudes::wanted();
        if (w.requires_grad())
            Var::accumulate(
                w, per_sample ? weight_magnitudes(node.grad, x.value()) : device.linear_grad_w(node.grad, x.value()));
        if (b.requires_grad())
            Var::accumulate(b, per_sample ? bias_magnitudes(node.grad) : device.column_sum(node.grad.as_matrix()));
        if (x.requires_grad()) Var::accumulate(x, device.linear_grad_x(node.grad, w.value()));
    });
}

}  // namespace lethe
