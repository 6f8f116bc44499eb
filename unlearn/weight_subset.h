// Parts of a model's weights: those that may move, and those that stay as they are.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "nn/model.h"

namespace lethe {

// Puts back, after a step, the weights that are not to move; momentum and weight decay move them, too.
class HeldWeights {
public:
    // moves: 1 for a weight that may move and 0 for one that keeps its present value, by parameter name; parameters
    // that it does not name may move. Throws Error for a name that is no parameter.
    HeldWeights(const Model& model, const StateDict& moves);

    void restore();

private:
    struct Entry {
        Tensor value;        // the model's
        Tensor moves, held;  // value = moves * value + held
    };
    std::vector<Entry> entries_;
};

// 1 for the `share` of all parameters' values for which |d/d theta of the mean cross entropy of the images| is largest,
// 0 for the others (of equals, the first in the model's order); BatchNorm with running statistics. On the CPU. Source:
// Fan et al., "SalUn", ICLR 2024, with the threshold at a quantile as in its code.
StateDict salient_weights(const Model& model, const Tensor& images, std::span<const int64_t> labels, float share,
                          int64_t batch);

// The model's last k layers, each a parameter of two or more dimensions with the vectors and statistics that follow it
// in the state: where the k-th from the end begins in state(). Throws Error where there are fewer.
std::size_t last_layers_begin(const Model& model, int64_t k);

// While alive, only the last k layers are trained. Their model must outlive this.
class FrozenBelow {
public:
    FrozenBelow(Model& model, int64_t k);
    ~FrozenBelow();
    FrozenBelow(const FrozenBelow&) = delete;
    FrozenBelow& operator=(const FrozenBelow&) = delete;

    // Puts the statistics of the frozen BatchNorms back, which a forward pass may have moved.
    void restore();

private:
    Model& model_;
    std::vector<std::pair<Tensor, Tensor>> statistics_;  // the model's, and their values
};

}  // namespace lethe
