// The layers that models are made of.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "autograd/ops.h"
#include "nn/module.h"
#include "tensor/random.h"

namespace lethe {

// Hands out initial values; every tensor gets its own item of stream Purpose::init, in construction order. Without a
// seed all are 0: for models whose weights are about to be copied in.
class Initializer {
public:
    explicit Initializer(Seed seed) : drawn_(seed.has_value()), random_(seed.value_or(0), Purpose::init) {}
    // N(0, 2 / fan) (He et al., ICCV 2015); fan = C*R*S (fan_in) or K*R*S (fan_out) of a convolution [K,C,R,S].
    Tensor he_normal(const Shape& shape, int64_t fan);
    // U(-sqrt(6 / fan_in), sqrt(6 / fan_in)): the same variance.
    Tensor he_uniform(const Shape& shape, int64_t fan_in);
    // U(-1/sqrt(fan_in), 1/sqrt(fan_in)): PyTorch's default for linear layers, weight and bias.
    Tensor uniform(const Shape& shape, int64_t fan_in);
    Tensor normal(const Shape& shape, float deviation);  // around 0
    // U(-sqrt(6 / (in + out)), sqrt(6 / (in + out))) for weights [out,in] (Glorot and Bengio, 2010).
    Tensor glorot_uniform(int64_t out, int64_t in);

private:
    Tensor within(const Shape& shape, float bound);  // U(-bound, bound)
    Tensor draw(const Shape& shape, const std::function<float(uint64_t item, uint32_t index)>& value);

    bool drawn_;
    Random random_;
    uint64_t next_item_ = 0;
};

// What follows a sum.
enum class Activation { none, relu, relu6 };

// "weight" [K,C/groups,R,S], no bias: a BatchNorm follows, or precedes with a relu.
class Conv2dLayer : public Module {
public:
    Conv2dLayer(Tensor weight, const Conv2d& op);
    Var forward(const Var& x, BatchNormMode mode) override;

    Var weight;
    Conv2d op;
};

// "weight" [K,C/groups,R,S] and "bias" [K], which begins as zeros: y = relu?(conv(x) + bias).
class ConvBias : public Module {
public:
    ConvBias(Tensor weight, const Conv2d& op);
    Var forward(const Var& x, BatchNormMode /*mode*/) override { return forward(x, false); }
    Var forward(const Var& x, bool relu) { return conv2d_fused(x, weight, bias, Var(), relu, op); }

    Var weight, bias;
    Conv2d op;
};

// "weight", "bias", "running_mean", "running_var" [C] and "num_batches_tracked" (int64 scalar).
class BatchNorm2d : public Module {
public:
    explicit BatchNorm2d(int64_t channels);
    Var forward(const Var& x, BatchNormMode mode) override { return forward(x, Var(), false, mode); }
    // relu?(batchnorm(x) + residual?); residual may be undefined.
    Var forward(const Var& x, const Var& residual, bool relu, BatchNormMode mode);
    // From now on forward() ignores the mode and uses the running statistics: in a folded twin, for one that no
    // convolution precedes.
    void freeze() { frozen_ = true; }

    Var weight, bias;
    Tensor running_mean, running_var, num_batches_tracked;
    float eps = 1e-5f;

private:
    bool frozen_ = false;
};

// While it lives, every BatchNorm2d that this thread runs, folded ones apart, tells what it is given. Of several the
// last one made hears.
class BatchNormListener {
public:
    using Hear = std::function<void(const BatchNorm2d& layer, const Var& x)>;
    explicit BatchNormListener(Hear hear);
    ~BatchNormListener();
    BatchNormListener(const BatchNormListener&) = delete;
    BatchNormListener& operator=(const BatchNormListener&) = delete;

private:
    friend class BatchNorm2d;
    Hear hear_;
    BatchNormListener* previous_;
};

// A convolution and the BatchNorm behind it, which fold into one: y = activation(bn(conv(x)) + residual?).
class ConvBn : public Module {
public:
    // Registers its two parts in its own scope as `conv_name` and `bn_name`; the parent adds it as child "".
    ConvBn(const std::string& conv_name, const std::string& bn_name, Tensor weight, const Conv2d& op);
    // The usual one: weights by he_normal over fan_out = K*R*S, padding by half the kernel.
    ConvBn(Initializer& init, const std::string& conv_name, const std::string& bn_name, int64_t in, int64_t out,
           int64_t kernel, int64_t stride, int64_t groups = 1);
    Var forward(const Var& x, BatchNormMode mode) override { return forward(x, Var(), Activation::relu, mode); }
    Var forward(const Var& x, const Var& residual, Activation activation, BatchNormMode mode);

    // From now on forward() uses w gamma/sqrt(var+eps) and beta - mean gamma/sqrt(var+eps), computed in double from the
    // present values (again at each call of fold()), and ignores the mode.
    void fold();

private:
    Conv2dLayer conv_;
    BatchNorm2d bn_;
    Var folded_weight_, folded_bias_;
};

// "weight" [out,in], "bias" [out]; x [N,in] or [N,T,in]
class Linear : public Module {
public:
    Linear(Initializer& init, int64_t in, int64_t out);
    Linear(Tensor weight, Tensor bias);
    Var forward(const Var& x, BatchNormMode mode) override;

    Var weight, bias;
};

// "weight" and "bias" [features], which begin as ones and zeros: each row of x [M,features] or [N,T,features] is
// normalised by itself.
class LayerNorm : public Module {
public:
    LayerNorm(int64_t features, float eps);
    Var forward(const Var& x, BatchNormMode /*mode*/) override { return layer_norm(x, weight, bias, eps); }

    Var weight, bias;
    float eps;
};

// Multi-head self-attention of tokens x [N,T,features]: "in_proj_weight" [3*features,features], whose rows are those of
// queries, keys and values, "in_proj_bias", "out_proj.weight" and "out_proj.bias".
class SelfAttention : public Module {
public:
    SelfAttention(Initializer& init, int64_t features, int64_t heads);
    Var forward(const Var& x, BatchNormMode mode) override;

private:
    Var in_weight_, in_bias_;
    Linear out_;
    int64_t heads_;
};

// Silences values in training (mode batch), each time others; it has no entry in the state. See Dropout in
// tensor/ops.h.
class DropoutLayer : public Module {
public:
    explicit DropoutLayer(float p) : p_(p), drawn_(Tensor::zeros({1}, DType::int64)) {}
    Var forward(const Var& x, BatchNormMode mode) override;
    // What it draws from now on: the numbers of `seed` after `steps` forward passes.
    void set_position(uint64_t seed, int64_t steps);
    // From now on nothing is silenced: in a folded twin.
    void freeze() { p_ = 0.0f; }

private:
    float p_;
    uint64_t seed_ = 0;
    Tensor drawn_;
};
// Calls set_position() on every DropoutLayer.
void set_dropout_position(Module& module, uint64_t seed, int64_t steps);

}  // namespace lethe
