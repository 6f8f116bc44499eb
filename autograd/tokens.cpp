#include "autograd/ops.h"

namespace lethe {
namespace {

// A token's features as channels, so that what works on channels works on tokens.
Tensor as_channels(const Tensor& x) { return x.reshape({x.dim(0), x.dim(1) * x.dim(2), 1, 1}); }

}  // namespace

Var tokens(const Var& patches, const Var& class_token, const Var& position) {
    Tensor y = backend(patches.value()).tokens(patches.value(), class_token.value(), position.value());
    return Var::computed(
        std::move(y), {patches, class_token, position}, [patches, class_token, position](detail::Node& node) {
            Backend& device = backend(node.grad);
            if (class_token.requires_grad() || position.requires_grad()) {
                // Every token of a sample is the sum of its position and something else. The class token is a
                // position's.
                Tensor sums = node.grad.reshape({node.grad.dim(0), position.value().numel()});
                if (PerSampleMagnitudes::wanted()) {
                    Tensor magnitudes = Tensor::zeros(sums.shape(), DType::float32, sums.device());
                    device.abs_accumulate(1.0f, sums, magnitudes);
                    sums = std::move(magnitudes);
                }
                const Tensor grad = device.column_sum(sums);
                if (class_token.requires_grad())
                    Var::accumulate(class_token,
                                    grad.rows(0, class_token.value().numel()).clone().reshape(class_token.shape()));
                if (position.requires_grad()) Var::accumulate(position, grad.reshape(position.shape()));
            }
            if (patches.requires_grad())
                Var::accumulate(patches, device.tokens_grad(node.grad, patches.shape(), patches.value().dtype()));
        });
}

Var first_token(const Var& x) {
    const int64_t features = x.value().dim(2);
    Tensor y = backend(x.value()).slice_channels(as_channels(x.value()), 0, features);
    return Var::computed(y.reshape({y.dim(0), features}), {x}, [x, features](detail::Node& node) {
        const int64_t n = node.grad.dim(0), rest = (x.value().dim(1) - 1) * features;
        const std::vector<Tensor> parts{node.grad.reshape({n, features, 1, 1}),
                                        Tensor::zeros({n, rest, 1, 1}, DType::float32, node.grad.device())};
        Var::accumulate(x, backend(node.grad).concat_channels(parts).reshape(x.shape()));
    });
}

}  // namespace lethe
