#include "autograd/multiply_adds.h"
#include "autograd/ops.h"

namespace lethe {

// The probabilities, T^2 numbers per head, are kept only where a gradient will ask for them.
Var attention(const Var& qkv, int64_t heads) {
    if (MultiplyAdds::counting()) {
        const Shape y{qkv.shape()[0], qkv.shape()[1], qkv.shape()[2] / 3};
        return MultiplyAdds::counted(y, 2 * y[1], qkv.value().device());  // each token's score, and its value's share
    }
    Tensor probabilities;
    Tensor y = backend(qkv.value()).attention(qkv.value(), heads, qkv.requires_grad() ? &probabilities : nullptr);
    return Var::computed(std::move(y), {qkv}, [qkv, heads, probabilities](detail::Node& node) {
        Var::accumulate(qkv, backend(node.grad).attention_grad(node.grad, qkv.value(), heads, probabilities));
    });
}

}  // namespace lethe
