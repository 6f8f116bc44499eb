#include "autograd/ops.h"
#include "tensor/error.h"

namespace lethe {

Var sum(const Var& x) {
    Tensor total = backend(x.value()).sum(x.value());
    return Var::computed(std::move(total), {x}, [x](detail::Node& node) {
        Var::accumulate(x, Tensor::full(x.shape(), node.grad.item(), x.value().device()));
    });
}

Var mean(const Var& x) {
    check(x.value().numel() > 0, "mean: x has no elements");
    return scale(sum(x), 1.0f / static_cast<float>(x.value().numel()));
}

Var row_norm(const Var& x) {
    Tensor norm = backend(x.value()).row_norm(x.value());
    return Var::computed(std::move(norm), {x}, [x](detail::Node& node) {
        // d|x|/dx = x / |x|; at a zero row the subgradient 0, as in PyTorch
        const Tensor norms = node.value.cpu();
        Tensor factor = node.grad.cpu().clone();
        float* values = factor.mutable_data();
        for (int64_t i = 0; i < factor.numel(); ++i)
            values[i] = norms.data()[i] > 0.0f ? values[i] / norms.data()[i] : 0.0f;
        Var::accumulate(x, backend(x.value()).row_scale(x.value(), factor.to(x.value().device())));
    });
}

}  // namespace lethe
