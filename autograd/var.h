// Var: a tensor that remembers how it was computed.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "tensor/tensor.h"

namespace lethe {

class Var;

namespace detail {

// One entry of the tape. Entries are numbered as they are made, so a larger number never feeds a smaller one.
struct Node {
    Tensor value;
    Tensor grad;  // undefined until something has flowed in
    bool requires_grad = false;
    bool masks_grad = false;   // value = relu(...): backward begins with grad * (value > 0), ...
    bool grad_masked = false;  // ... and need not, because whoever computed grad has done it in the same pass
    uint64_t sequence = 0;
    std::vector<std::shared_ptr<Node>> inputs;
    std::function<void(Node&)> backward;  // sends this->grad to inputs; empty for leaves

    ~Node();
};

}  // namespace detail

// A handle to an entry of the tape. A Var made from a Tensor is a leaf: a parameter (requires_grad) or a constant.
// Every operation of autograd/ops.h makes a new Var that holds its inputs alive until backward() or destruction.
class Var {
public:
    Var() = default;
    // A leaf; not explicit, so that a Tensor passes as a constant.
    Var(Tensor value, bool requires_grad = false);  // NOLINT(google-explicit-constructor)

    bool defined() const { return node_ != nullptr; }
    const Tensor& value() const { return node_->value; }
    Tensor& value() { return node_->value; }
    const Shape& shape() const { return node_->value.shape(); }
    bool requires_grad() const { return node_ != nullptr && node_->requires_grad; }
    void set_requires_grad(bool on) { node_->requires_grad = on; }

    // d(loss)/d(this) after backward(); undefined where nothing flowed. Leaves accumulate until zero_grad().
    const Tensor& grad() const { return node_->grad; }
    void zero_grad() { node_->grad = Tensor(); }

    // Computes gradients of this one-element tensor for every leaf that requires them, and frees the tape behind it.
    // Throws Error when the value has more than one element (give a seed) or nothing requires a gradient.
    void backward();
    // The same for any shape: seed = d(loss)/d(this).
    void backward(const Tensor& seed);

    // For ops: a Var computed from `inputs`, with its gradient closure. The closure is kept only when an input requires
    // a gradient and recording is on; it reads node.grad and calls accumulate() on the inputs that require one.
    static Var computed(Tensor value, std::vector<Var> inputs, std::function<void(detail::Node&)> backward);
    // Adds `grad` to what has flowed into `input` so far. Does nothing for an input that needs none.
    static void accumulate(const Var& input, Tensor grad);
    // `grad` holds all that has flowed into `input` so far, multiplied by (value > 0); for an input that masks_grad.
    static void replace_masked(const Var& input, Tensor grad);

    const std::shared_ptr<detail::Node>& node() const { return node_; }

private:
    std::shared_ptr<detail::Node> node_;
};

// While alive, backward() of this thread gives every parameter the sum over the samples n of |gradient from sample n
// alone| in place of the gradient, from one pass over the whole batch. Exact where samples do not meet, that is with
// BatchNorm's running statistics, and where each parameter is used by one operation.
class PerSampleMagnitudes {
public:
    PerSampleMagnitudes();
    ~PerSampleMagnitudes();
    PerSampleMagnitudes(const PerSampleMagnitudes&) = delete;
    PerSampleMagnitudes& operator=(const PerSampleMagnitudes&) = delete;
    static bool wanted();

private:
    bool previous_;
};

// While alive, operations of this thread record nothing: inference.
class NoGrad {
public:
    NoGrad();
    ~NoGrad();
    NoGrad(const NoGrad&) = delete;
    NoGrad& operator=(const NoGrad&) = delete;

private:
    bool previous_;
};

}  // namespace lethe
