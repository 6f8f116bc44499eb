#include "autograd/ops.h"

namespace lethe {

Var linear(const Var& x, const Var& w, const Var& b) {
    Tensor y = backend(x.value()).linear(x.value(), w.value(), b.value());
    return Var::computed(std::move(y), {x, w, b}, [x, w, b](detail::Node& node) {
        Backend& device = backend(node.grad);
        if (w.requires_grad()) Var::accumulate(w, device.linear_grad_w(node.grad, x.value()));
        if (b.requires_grad()) Var::accumulate(b, device.column_sum(node.grad));
        if (x.requires_grad()) Var::accumulate(x, device.linear_grad_x(node.grad, w.value()));
    });
}

}  // namespace lethe
