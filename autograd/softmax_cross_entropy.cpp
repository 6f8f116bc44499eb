#include "autograd/ops.h"

namespace lethe {

Var softmax_cross_entropy(const Var& logits, const Tensor& labels, const CrossEntropy& op) {
    Tensor probabilities;
    Tensor loss = backend(logits.value()).softmax_cross_entropy(logits.value(), labels, probabilities, op);
    return Var::computed(std::move(loss), {logits}, [logits, labels, probabilities, op](detail::Node& node) {
        Var::accumulate(logits, backend(node.grad).softmax_cross_entropy_grad(node.grad, probabilities, labels, op));
    });
}

}  // namespace lethe
