// What one step of unlearning is made of: batches, and the terms of its loss, each a forward and a backward pass.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <utility>
#include <vector>

#include "nn/model.h"
#include "tensor/step_graph.h"
#include "unlearn/image_rows.h"

namespace lethe {

// Images [n,3,H,W] with labels int64 [n], on the CPU, ready for one forward pass.
struct StepBatch {
    Tensor images, labels;
    int64_t size() const { return images.dim(0); }
};

// The rows named in `order`, in memory of their own.
StepBatch gather_batch(const ImageRows& images, std::span<const int64_t> labels, std::span<const int64_t> order);
// Rows [begin, end); a view where they are in memory.
StepBatch slice_batch(const ImageRows& images, std::span<const int64_t> labels, int64_t begin, int64_t end);

// One term of a step's loss, with what it reads and writes at addresses that stay, so that it can be recorded.
struct Term {
    explicit Term(Backend& device) : graph(device) {}

    // Brings a batch to the device. Rows that are not `recognised` do not count; empty: all do.
    void load(const StepBatch& batch, std::span<const float> recognised, Device device);
    // Brings the share of marked rows there: as a tensor, for a recorded step repeats its numbers.
    void load_share(std::span<const float> recognised, const Model& model);

    Tensor images, labels;
    Tensor active;  // 1 for the rows that count
    Tensor share;   // [N,C], all of it the share of rows that count
    Tensor loss;    // [N], cross entropy
    Tensor target;  // [N,C], of distillation
    Tensor logits;  // [N,C], of distillation
    StepGraph graph;
};

// What the log-odds of the marked rows are averaged over: these rows, so that the last one left is pushed as hard as
// all were; or all rows, so that the pull of each stays what it is and the whole grows weaker.
enum class Average { marked, all };

// By rows and weight: the last batch of a pass may be smaller.
using Terms = std::map<std::pair<int64_t, double>, Term>;

// Adds gradients to a model's parameters, a term at a time. Each term has its own forward and backward pass: with batch
// statistics, BatchNorm must not see two sets as one, and its running statistics see them in the order of calls.
class Gradients {
public:
    // `batch_statistics`: as BatchNormMode::batch; else running statistics are used as they are.
    Gradients(Model& model, bool batch_statistics);

    // Of weight * mean CE or, where `recognised` is given, of weight * mean log-odds of the rows it marks. Returns
    // mean CE. `average` is of the log-odds.
    double cross_entropy(Terms& terms, const StepBatch& batch, double weight, std::span<const float> recognised = {},
                         Average average = Average::marked) const;
    // Of weight * mean T^2 KL(target || softmax(logits / T)), which for a row is weight T / N * (softmax(logits / T) -
    // target), as for the cross entropy with that target. images [N,3,H,W] and target [N,C] on the CPU; returns the
    // logits, likewise.
    Tensor divergence(Terms& terms, const Tensor& images, const Tensor& target, float weight,
                      float temperature = 1.0f) const;

private:
    Var forward(const Tensor& images) const;

    Model& model_;
    Backend& device_;
    BatchNormMode mode_;
};

// 1 for the rows of logits [n,C] whose label's logit is not yet `margin` below the largest other one, 0 for the others.
std::vector<float> still_recognised(const Tensor& logits, std::span<const int64_t> labels, double margin);

}  // namespace lethe
