#include "nn/layers.h"

#include <algorithm>
#include <cmath>

#include "tensor/parallel.h"

namespace lethe {

// Every value has an address of its own in the stream, so threads may draw them in any order.
Tensor Initializer::draw(const Shape& shape, const std::function<float(uint64_t item, uint32_t index)>& value) {
    const uint64_t item = next_item_++;
    if (!drawn_) return Tensor::zeros(shape);
    constexpr int64_t chunk = 16384;
    Tensor tensor = Tensor::empty(shape);
    float* values = tensor.mutable_data();
    const int64_t n = shape.numel();
    parallel_for((n + chunk - 1) / chunk, [&](int64_t c) {
        for (int64_t i = c * chunk; i < std::min(n, (c + 1) * chunk); ++i)
            values[i] = value(item, static_cast<uint32_t>(i));
    });
    return tensor;
}

Tensor Initializer::he_normal(const Shape& shape, int64_t fan) {
    const float scale = std::sqrt(2.0f / static_cast<float>(fan));
    return draw(shape, [&](uint64_t item, uint32_t index) { return scale * random_.normal(item, index); });
}

Tensor Initializer::uniform(const Shape& shape, int64_t fan_in) {
    const float bound = 1.0f / std::sqrt(static_cast<float>(fan_in));
    return draw(shape,
                [&](uint64_t item, uint32_t index) { return bound * (2.0f * random_.uniform(item, index) - 1.0f); });
}

Conv2dLayer::Conv2dLayer(Initializer& init, int64_t in, int64_t out, int64_t kernel, int64_t stride, int64_t pad)
    : weight(add_parameter("weight", init.he_normal({out, in, kernel, kernel}, out * kernel * kernel))),
      op{.stride = stride, .pad = pad} {}

Var Conv2dLayer::forward(const Var& x, BatchNormMode /*mode*/) { return conv2d(x, weight, op); }

BatchNorm2d::BatchNorm2d(int64_t channels)
    : weight(add_parameter("weight", Tensor::full({channels}, 1.0f))),
      bias(add_parameter("bias", Tensor::zeros({channels}))),
      running_mean(Tensor::zeros({channels})),
      running_var(Tensor::full({channels}, 1.0f)),
      num_batches_tracked(Tensor::zeros(Shape{}, DType::int64)) {
    add_buffer("running_mean", running_mean);
    add_buffer("running_var", running_var);
    add_buffer("num_batches_tracked", num_batches_tracked);
}

Var BatchNorm2d::forward(const Var& x, const Var& residual, bool relu, BatchNormMode mode) {
    const BatchNorm op{.eps = eps,
                       .batch_statistics = mode != BatchNormMode::running,
                       .update_running = mode == BatchNormMode::batch,
                       .relu = relu};
    if (mode == BatchNormMode::batch) backend(num_batches_tracked).increment(num_batches_tracked);
    return batchnorm(x, weight, bias, running_mean, running_var, residual, op);
}

ConvBn::ConvBn(Initializer& init, const std::string& conv_name, const std::string& bn_name, int64_t in, int64_t out,
               int64_t kernel, int64_t stride)
    : conv_(init, in, out, kernel, stride, kernel / 2), bn_(out) {
    add_child(conv_name, conv_);
    add_child(bn_name, bn_);
}

Var ConvBn::forward(const Var& x, const Var& residual, bool relu, BatchNormMode mode) {
    if (folded_weight_.defined()) return conv2d_fused(x, folded_weight_, folded_bias_, residual, relu, conv_.op);
    return bn_.forward(conv_.forward(x, mode), residual, relu, mode);
}

void ConvBn::fold() {
    const Tensor& weight = conv_.weight.value();
    if (!folded_weight_.defined() || folded_weight_.value().device() != weight.device()) {
        folded_weight_ = Var(Tensor::empty(weight.shape(), DType::float32, weight.device()));
        folded_bias_ = Var(Tensor::empty({weight.dim(0)}, DType::float32, weight.device()));
    }
    backend(weight).fold_batchnorm(weight, bn_.weight.value(), bn_.bias.value(), bn_.running_mean, bn_.running_var,
                                   bn_.eps, folded_weight_.value(), folded_bias_.value());
}

Linear::Linear(Initializer& init, int64_t in, int64_t out)
    : weight(add_parameter("weight", init.uniform({out, in}, in))),
      bias(add_parameter("bias", init.uniform({out}, in))) {}

Var Linear::forward(const Var& x, BatchNormMode /*mode*/) { return linear(x, weight, bias); }

}  // namespace lethe
