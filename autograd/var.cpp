#include "autograd/var.h"

#include <algorithm>
#include <atomic>
#include <unordered_set>

#include "tensor/backend.h"
#include "tensor/error.h"

namespace lethe {
namespace {

// Per thread: chunks of images run on several threads, each with its own tape.
thread_local bool recording = true;
thread_local bool per_sample_magnitudes = false;

uint64_t next_sequence() {
    static std::atomic<uint64_t> counter{0};
    return counter.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace

namespace detail {

// A long chain of nodes that die together must not recurse once per node: predecessors that only this node kept alive
// are taken apart in a loop.
Node::~Node() {
    std::vector<std::shared_ptr<Node>> orphans = std::move(inputs);
    backward = nullptr;  // closures hold their inputs too; `orphans` keeps those alive until their turn
    while (!orphans.empty()) {
        const std::shared_ptr<Node> node = std::move(orphans.back());
        orphans.pop_back();
        if (node.use_count() != 1) continue;
        for (std::shared_ptr<Node>& input : node->inputs) orphans.push_back(std::move(input));
        node->inputs.clear();
        node->backward = nullptr;
    }
}

}  // namespace detail

Var::Var(Tensor value, bool requires_grad) : node_(std::make_shared<detail::Node>()) {
    node_->value = std::move(value);
    node_->requires_grad = requires_grad;
    node_->sequence = next_sequence();
}

Var Var::computed(Tensor value, std::vector<Var> inputs, std::function<void(detail::Node&)> backward) {
    Var result(std::move(value));
    const bool needed =
        recording && std::any_of(inputs.begin(), inputs.end(), [](const Var& input) { return input.requires_grad(); });
    if (!needed) return result;
    result.node_->requires_grad = true;
    for (const Var& input : inputs)
        if (input.requires_grad()) result.node_->inputs.push_back(input.node_);
    result.node_->backward = std::move(backward);
    return result;
}

void Var::accumulate(const Var& input, Tensor grad) {
    if (!input.requires_grad()) return;
    Tensor& total = input.node_->grad;
    input.node_->grad_masked = false;
    check(grad.shape() == input.shape(), "autograd: gradient ", grad.shape(), " for a value of ", input.shape());
    if (!total.defined()) {
        total = std::move(grad);
    } else if (total.unique() && total.dtype() == DType::float32) {
        backend(total).axpy(1.0f, grad, total);
    } else {
        total = backend(total).binary(Binary::add, total, grad);  // someone else holds this memory too
    }
}

void Var::replace_masked(const Var& input, Tensor grad) {
    input.node_->grad = std::move(grad);
    input.node_->grad_masked = true;
}

void Var::backward() {
    check(node_ != nullptr && node_->value.numel() == 1, "backward: a value of several elements needs a seed");
    backward(Tensor::full(node_->value.shape(), 1.0f, node_->value.device()));
}

void Var::backward(const Tensor& seed) {
    check(requires_grad(), "backward: nothing this value was computed from requires a gradient");
    accumulate(*this, seed);

    // Everything reachable, then from the newest to the oldest: a node's gradient is complete when its turn comes.
    std::vector<std::shared_ptr<detail::Node>> order{node_};
    std::unordered_set<detail::Node*> seen{node_.get()};
    for (std::size_t i = 0; i < order.size(); ++i)
        for (const std::shared_ptr<detail::Node>& input : order[i]->inputs)
            if (seen.insert(input.get()).second) order.push_back(input);
    std::sort(order.begin(), order.end(), [](const auto& a, const auto& b) { return a->sequence > b->sequence; });

    for (std::shared_ptr<detail::Node>& node : order) {
        if (!node->backward) continue;
        if (node->grad.defined()) node->backward(*node);
        // What has been used goes back to the allocator now, while the rest of the pass can still reuse it.
        node->backward = nullptr;
        node->inputs.clear();
        node->grad = Tensor();
        node = nullptr;
    }
}

PerSampleMagnitudes::PerSampleMagnitudes() : previous_(per_sample_magnitudes) { per_sample_magnitudes = true; }
PerSampleMagnitudes::~PerSampleMagnitudes() { per_sample_magnitudes = previous_; }
bool PerSampleMagnitudes::wanted() { return per_sample_magnitudes; }

NoGrad::NoGrad() : previous_(recording) { recording = false; }
NoGrad::~NoGrad() { recording = previous_; }

}  // namespace lethe
