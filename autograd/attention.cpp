#include "autograd/ops.h"

namespace lethe {

// The probabilities, T^2 numbers per head, are kept only where a gradient will ask for them.
Var attention(const Var& qkv, int64_t heads) {
    Tensor probabilities;
    Tensor y = backend(qkv.value()).attention(qkv.value(), heads, qkv.requires_grad() ? &probabilities : nullptr);
    return Var::computed(std::move(y), {qkv}, [qkv, heads, probabilities](detail::Node& node) {
        Var::accumulate(qkv, backend(node.grad).attention_grad(node.grad, qkv.value(), heads, probabilities));
    });
}

}  // namespace lethe
