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

Tensor Initializer::within(const Shape& shape, float bound) {
    return draw(shape,
                [&](uint64_t item, uint32_t index) { return bound * (2.0f * random_.uniform(item, index) - 1.0f); });
}

Tensor Initializer::he_uniform(const Shape& shape, int64_t fan_in) {
    return within(shape, std::sqrt(6.0f / static_cast<float>(fan_in)));
}

Tensor Initializer::uniform(const Shape& shape, int64_t fan_in) {
    return within(shape, 1.0f / std::sqrt(static_cast<float>(fan_in)));
}

Tensor Initializer::glorot_uniform(int64_t out, int64_t in) {
    return within({out, in}, std::sqrt(6.0f / static_cast<float>(in + out)));
}

Tensor Initializer::normal(const Shape& shape, float deviation) {
    return draw(shape, [&](uint64_t item, uint32_t index) { return deviation * random_.normal(item, index); });
}

Conv2dLayer::Conv2dLayer(Tensor value, const Conv2d& conv)
    : weight(add_parameter("weight", std::move(value))), op(conv) {}

ConvBias::ConvBias(Tensor value, const Conv2d& conv)
    : weight(add_parameter("weight", std::move(value))),
      bias(add_parameter("bias", Tensor::zeros({weight.shape()[0]}))),
      op(conv) {}

Var Conv2dLayer::forward(const Var& x, BatchNormMode /*mode*/) { return conv2d(x, weight, op); }

namespace {
thread_local BatchNormListener* batchnorm_listener = nullptr;
}

BatchNormListener::BatchNormListener(Hear hear) : hear_(std::move(hear)), previous_(batchnorm_listener) {
    batchnorm_listener = this;
}

BatchNormListener::~BatchNormListener() { batchnorm_listener = previous_; }

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

Var BatchNorm2d::forward(const Var& x, const Var& residual, bool relu, BatchNormMode wanted) {
    const BatchNormMode mode = frozen_ ? BatchNormMode::running : wanted;
    const BatchNorm op{.eps = eps,
                       .batch_statistics = mode != BatchNormMode::running,
                       .update_running = mode == BatchNormMode::batch,
                       .relu = relu};
    if (mode == BatchNormMode::batch) backend(num_batches_tracked).increment(num_batches_tracked);
    if (batchnorm_listener != nullptr) batchnorm_listener->hear_(*this, x);
    return batchnorm(x, weight, bias, running_mean, running_var, residual, op);
}

ConvBn::ConvBn(const std::string& conv_name, const std::string& bn_name, Tensor weight, const Conv2d& op)
    : conv_(std::move(weight), op), bn_(conv_.weight.shape()[0]) {
    add_child(conv_name, conv_);
    add_child(bn_name, bn_);
}

ConvBn::ConvBn(Initializer& init, const std::string& conv_name, const std::string& bn_name, int64_t in, int64_t out,
               int64_t kernel, int64_t stride, int64_t groups)
    : ConvBn(conv_name, bn_name, init.he_normal({out, in / groups, kernel, kernel}, out * kernel * kernel),
             {.stride = stride, .pad = kernel / 2, .groups = groups}) {}

Var ConvBn::forward(const Var& x, const Var& residual, Activation activation, BatchNormMode mode) {
    const bool relu = activation == Activation::relu;
    const Var y = folded_weight_.defined() ? conv2d_fused(x, folded_weight_, folded_bias_, residual, relu, conv_.op)
                                           : bn_.forward(conv_.forward(x, mode), residual, relu, mode);
    return activation == Activation::relu6 ? relu6(y) : y;
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

Linear::Linear(Tensor weights, Tensor biases)
    : weight(add_parameter("weight", std::move(weights))), bias(add_parameter("bias", std::move(biases))) {}

Var Linear::forward(const Var& x, BatchNormMode /*mode*/) { return linear(x, weight, bias); }

LayerNorm::LayerNorm(int64_t features, float epsilon)
    : weight(add_parameter("weight", Tensor::full({features}, 1.0f))),
      bias(add_parameter("bias", Tensor::zeros({features}))),
      eps(epsilon) {}

SelfAttention::SelfAttention(Initializer& init, int64_t features, int64_t heads)
    : in_weight_(add_parameter("in_proj_weight", init.glorot_uniform(3 * features, features))),
      in_bias_(add_parameter("in_proj_bias", Tensor::zeros({3 * features}))),
      out_(init.uniform({features, features}, features), Tensor::zeros({features})),
      heads_(heads) {
    add_child("out_proj", out_);
}

Var SelfAttention::forward(const Var& x, BatchNormMode mode) {
    return out_.forward(attention(linear(x, in_weight_, in_bias_), heads_), mode);
}

Var DropoutLayer::forward(const Var& x, BatchNormMode mode) {
    if (mode != BatchNormMode::batch || p_ == 0.0f) return x;
    drawn_ = drawn_.to(x.value().device());
    const Var y = dropout(x, {.p = p_, .random = Random(seed_, Purpose::dropout), .counter = drawn_});
    backend(drawn_).increment(drawn_);
    return y;
}

void DropoutLayer::set_position(uint64_t seed, int64_t steps) {
    seed_ = seed;
    drawn_.copy_from(Tensor::from_int64({1}, std::vector<int64_t>{steps}));
}

void set_dropout_position(Module& module, uint64_t seed, int64_t steps) {
    module.for_each([&](Module& each) {
        if (auto* layer = dynamic_cast<DropoutLayer*>(&each)) layer->set_position(seed, steps);
    });
}

}  // namespace lethe
