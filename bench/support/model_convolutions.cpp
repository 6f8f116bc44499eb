#include "bench/support/model_convolutions.h"

#include <algorithm>
#include <map>
#include <unordered_map>

#include "nn/layers.h"

namespace lethe::bench {
namespace {

using detail::Node;

// Every entry of the tape that `result` was computed from, in the order in which they were made.
std::vector<const Node*> tape_of(const Var& result) {
    std::map<uint64_t, const Node*> found;
    std::vector<const Node*> pending{result.node().get()};
    while (!pending.empty()) {
        const Node* node = pending.back();
        pending.pop_back();
        if (!found.emplace(node->sequence, node).second) continue;
        for (const auto& input : node->inputs) pending.push_back(input.get());
    }
    std::vector<const Node*> nodes;
    for (const auto& [sequence, node] : found) nodes.push_back(node);
    return nodes;
}

// On the tape a BatchNorm is what has x, gamma [C], beta [C] and perhaps a residual as its inputs.
bool is_batchnorm(const Node& node) { return node.inputs.size() >= 3 && node.inputs[1]->value.rank() == 1; }

bool adds_residual(const Node& node) { return is_batchnorm(node) && node.inputs.size() == 4; }

}  // namespace

bool ModelConvolution::operator==(const ModelConvolution& other) const {
    return x == other.x && w == other.w && op.stride == other.op.stride && op.pad == other.op.pad &&
           residual == other.residual && relu == other.relu && branches == other.branches;
}

std::vector<ModelConvolution> convolutions_of(const ModelSpec& spec, int64_t size) {
    Model model(spec);
    std::unordered_map<const Node*, Conv2d> ops;  // by weight
    model.net().for_each([&](Module& module) {
        if (const auto* layer = dynamic_cast<Conv2dLayer*>(&module)) ops[layer->weight.node().get()] = layer->op;
    });
    // Only what requires a gradient is on the tape, so the image has to.
    const Var image(Tensor::full({1, 3, size, size}, 0.5f), true);
    const Var logits = model.forward(image, BatchNormMode::running);

    const std::vector<const Node*> tape = tape_of(logits);
    std::unordered_map<const Node*, std::vector<const Node*>> users;
    for (const Node* node : tape)
        for (const auto& input : node->inputs) users[input.get()].push_back(node);

    std::vector<ModelConvolution> convolutions;
    for (const Node* node : tape) {
        if (node->inputs.size() != 2) continue;
        const auto op = ops.find(node->inputs[1].get());
        if (op == ops.end()) continue;
        const Node& x = *node->inputs[0];
        const std::vector<const Node*>& after = users[node];
        const ModelConvolution found{
            .x = x.value.shape(),
            .w = node->inputs[1]->value.shape(),
            .op = op->second,
            .residual =
                std::any_of(after.begin(), after.end(),
                            [&](const Node* user) { return adds_residual(*user) && user->inputs[0].get() == node; }),
            .relu = is_batchnorm(x),
            .branches = users[&x].size() > 1};
        if (std::find(convolutions.begin(), convolutions.end(), found) == convolutions.end())
            convolutions.push_back(found);
    }
    return convolutions;
}

}  // namespace lethe::bench
