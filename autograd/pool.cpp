#include "autograd/ops.h"

namespace lethe {

Var max_pool2d(const Var& x, const Pool2d& op) {
    Tensor argmax;
    Tensor y = backend(x.value()).max_pool2d(x.value(), op, argmax);
    return Var::computed(std::move(y), {x}, [x, argmax, op](detail::Node& node) {
        Var::accumulate(x, backend(node.grad).max_pool2d_grad(node.grad, argmax, x.shape(), op));
    });
}

Var avg_pool2d(const Var& x, const Pool2d& op) {
    Tensor y = backend(x.value()).avg_pool2d(x.value(), op);
    return Var::computed(std::move(y), {x}, [x, op](detail::Node& node) {
        Var::accumulate(x, backend(node.grad).avg_pool2d_grad(node.grad, x.shape(), op));
    });
}

Var global_avg_pool(const Var& x) {
    Tensor y = backend(x.value()).global_avg_pool(x.value());
    return Var::computed(std::move(y), {x}, [x](detail::Node& node) {
        Var::accumulate(x, backend(node.grad).global_avg_pool_grad(node.grad, x.shape(), x.value().dtype()));
    });
}

}  // namespace lethe
