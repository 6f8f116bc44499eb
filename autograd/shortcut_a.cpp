#include "autograd/ops.h"

namespace lethe {

Var shortcut_a(const Var& x, int64_t channels, int64_t stride) {
    Tensor y = backend(x.value()).shortcut_a(x.value(), channels, stride);
    return Var::computed(std::move(y), {x}, [x, stride](detail::Node& node) {
        Var::accumulate(x, backend(node.grad).shortcut_a_grad(node.grad, x.shape(), stride));
    });
}

}  // namespace lethe
