// Weight importance by Memory Aware Synapses (Aljundi et al., ECCV 2018), as the unlearning penalty uses it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "nn/model.h"

namespace lethe {

struct ImportanceOptions {
    // per_sample: Omega = mean_i |d norm(f(x_i)) / d theta|, MAS's definition.
    // batch_mean: |d mean_i norm(f(x_i)) / d theta| per batch, averaged over batches weighted by their sizes: the
    //             reference's form (up to its scale), where opposing per-sample gradients cancel.
    enum class Form { per_sample, batch_mean };
    Form form = Form::per_sample;
    bool squared = true;            // norm(f) = |f|_2^2 (MAS); false: |f|_2
    bool batch_statistics = false;  // BatchNorm on batch statistics (batch_mean only; buffers are left as they were)
    bool keep_gradients = false;    // batch_mean only: gradients are not cleared between batches (imp-no-zero-grad)
    int64_t batch_size = 32;        // batch_mean only
};

// Omega for every parameter, by name, over images [N,3,H,W]. Parameters and buffers of `model` are left unchanged, its
// gradients are cleared. Throws Error when per_sample is asked for with batch statistics or kept gradients. The result
// does not depend on the number of threads.
StateDict mas_importance(Model& model, const Tensor& images, const ImportanceOptions& options);

// The diagonal of the empirical Fisher information: mean_i (d CE(f(x_i), y_i) / d theta)^2 for every parameter, by
// name, on the CPU; BatchNorm with running statistics. As mas_importance() otherwise.
StateDict fisher_diagonal(const Model& model, const Tensor& images, const Tensor& labels);

// The penalty's weights: per tensor, min-max to [0,1], then 1 - that; 1 protects a weight that does not matter for the
// images. A tensor whose values are all equal has no scale; its Omega counts as 0 (fully protected) and its name goes
// into `degenerate`. Throws Error for NaN or infinity, naming the tensor.
StateDict penalty_weights(const StateDict& omega, std::vector<std::string>* degenerate = nullptr);

}  // namespace lethe
