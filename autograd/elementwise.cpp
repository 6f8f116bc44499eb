#include "autograd/ops.h"

namespace lethe {

Var unary(Unary op, const Var& x) {
    Tensor y = backend(x.value()).unary(op, x.value());
    return Var::computed(std::move(y), {x}, [op, x](detail::Node& node) {
        Var::accumulate(x, backend(node.grad).unary_grad(op, node.grad, x.value(), node.value));
    });
}

Var binary(Binary op, const Var& a, const Var& b) {
    Tensor y = backend(a.value()).binary(op, a.value(), b.value());
    return Var::computed(std::move(y), {a, b}, [op, a, b](detail::Node& node) {
        Backend& device = backend(node.grad);
        if (a.requires_grad())
            Var::accumulate(a, device.binary_grad_a(op, node.grad, a.value(), b.value(), node.value));
        if (b.requires_grad())
            Var::accumulate(b, device.binary_grad_b(op, node.grad, a.value(), b.value(), node.value));
    });
}

Var scale(const Var& x, float factor) {
    Tensor y = backend(x.value()).scale(x.value(), factor);
    return Var::computed(std::move(y), {x}, [x, factor](detail::Node& node) {
        Var::accumulate(x, backend(node.grad).scale(node.grad, factor));
    });
}

}  // namespace lethe
