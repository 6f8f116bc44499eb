#include "autograd/multiply_adds.h"
#include "autograd/ops.h"

namespace lethe {
namespace {

Tensor magnitude(const Tensor& x) {
    Tensor result = Tensor::zeros(x.shape(), DType::float32, x.device());
    backend(x).abs_accumulate(1.0f, x, result);
    return result;
}

}  // namespace

Var linear(const Var& x, const Var& w, const Var& b) {
    if (MultiplyAdds::counting())
        return MultiplyAdds::counted({x.shape()[0], w.shape()[0]}, w.shape()[1], x.value().device());
    Tensor y = backend(x.value()).linear(x.value(), w.value(), b.value());
    return Var::computed(std::move(y), {x, w, b}, [x, w, b](detail::Node& node) {
        Backend& device = backend(node.grad);
        // A sample's gradient for w is an outer product, and |g x^T| = |g| |x|^T.
        const bool per_sample = PerSampleMagnitudes::wanted() && (w.requires_grad() || b.requires_grad());
        const Tensor grad = per_sample ? magnitude(node.grad) : node.grad;
        const Tensor features = per_sample ? magnitude(x.value()) : x.value();
        if (w.requires_grad()) Var::accumulate(w, device.linear_grad_w(grad, features));
        if (b.requires_grad()) Var::accumulate(b, device.column_sum(grad));
        if (x.requires_grad()) Var::accumulate(x, device.linear_grad_x(node.grad, w.value()));
    });
}

}  // namespace lethe
