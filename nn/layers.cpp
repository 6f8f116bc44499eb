#include "nn/layers.h"

#include <cmath>

namespace lethe {

Tensor Initializer::he_normal(const Shape& shape, int64_t fan) {
    Tensor tensor = Tensor::empty(shape);
    float* values = tensor.mutable_data();
    const float scale = std::sqrt(2.0f / static_cast<float>(fan));
    for (int64_t i = 0; i < shape.numel(); ++i)
        values[i] = scale * random_.normal(next_item_, static_cast<uint32_t>(i));
    ++next_item_;
    return tensor;
}

Tensor Initializer::uniform(const Shape& shape, int64_t fan_in) {
    Tensor tensor = Tensor::empty(shape);
    float* values = tensor.mutable_data();
    const float bound = 1.0f / std::sqrt(static_cast<float>(fan_in));
    for (int64_t i = 0; i < shape.numel(); ++i)
        values[i] = bound * (2.0f * random_.uniform(next_item_, static_cast<uint32_t>(i)) - 1.0f);
    ++next_item_;
    return tensor;
}

Conv2dLayer::Conv2dLayer(Initializer& init, int64_t in, int64_t out, int64_t kernel, int64_t stride, int64_t pad)
    : weight(add_parameter("weight", init.he_normal({out, in, kernel, kernel}, out * kernel * kernel))),
      op{.stride = stride, .pad = pad} {}

Var Conv2dLayer::forward(const Var& x, BatchNormMode /*mode*/) { return conv2d(x, weight, op); }

BatchNorm2d::BatchNorm2d(int64_t channels)
    : weight(add_parameter("weight", Tensor::full({channels}, 1.0f))),
      bias(add_parameter("bias", Tensor::zeros({channels}))),
      running_mean(add_buffer("running_mean", Tensor::zeros({channels}))),
      running_var(add_buffer("running_var", Tensor::full({channels}, 1.0f))),
      num_batches_tracked(add_buffer("num_batches_tracked", Tensor::zeros(Shape{}, DType::int64))) {}

Var BatchNorm2d::forward(const Var& x, const Var& residual, bool relu, BatchNormMode mode) {
    const BatchNorm op{.eps = eps,
                       .batch_statistics = mode != BatchNormMode::running,
                       .update_running = mode == BatchNormMode::batch,
                       .relu = relu};
    if (mode == BatchNormMode::batch) ++*num_batches_tracked.mutable_int64_data();
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
    const int64_t channels = weight.dim(0), per_channel = weight.numel() / channels;
    if (!folded_weight_.defined()) {
        folded_weight_ = Var(Tensor::empty(weight.shape()));
        folded_bias_ = Var(Tensor::empty({channels}));
    }
    float* folded = folded_weight_.value().mutable_data();
    float* bias = folded_bias_.value().mutable_data();
    const float* original = weight.data();
    const float *gamma = bn_.weight.value().data(), *beta = bn_.bias.value().data();
    const float *mean = bn_.running_mean.data(), *var = bn_.running_var.data();
    for (int64_t k = 0; k < channels; ++k) {
        const double factor = double{gamma[k]} / std::sqrt(double{var[k]} + double{bn_.eps});
        for (int64_t i = 0; i < per_channel; ++i)
            folded[k * per_channel + i] = static_cast<float>(double{original[k * per_channel + i]} * factor);
        bias[k] = static_cast<float>(double{beta[k]} - double{mean[k]} * factor);
    }
}

Linear::Linear(Initializer& init, int64_t in, int64_t out)
    : weight(add_parameter("weight", init.uniform({out, in}, in))),
      bias(add_parameter("bias", init.uniform({out}, in))) {}

Var Linear::forward(const Var& x, BatchNormMode /*mode*/) { return linear(x, weight, bias); }

}  // namespace lethe
