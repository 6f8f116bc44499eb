#include "autograd/ops.h"

namespace lethe {

Var normalize(const Var& x, const Tensor& mean, const Tensor& std) {
    Tensor y = backend(x.value()).normalize(x.value(), mean, std);
    return Var::computed(std::move(y), {x}, [x, std](detail::Node& node) {
        Var::accumulate(x, backend(node.grad).normalize_grad(node.grad, std));
    });
}

}  // namespace lethe
