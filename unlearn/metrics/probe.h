// Can the class of an image still be read out of a layer's features? What a new head could use has not been forgotten,
// whatever the model's own head answers.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "tensor/tensor.h"

namespace lethe {

// Features [N,p] and the label of each row, in [0, classes).
struct LabelledFeatures {
    const Tensor& features;
    std::span<const int64_t> labels;
};

inline constexpr int64_t nearest_neighbours = 10;

// The class that most of the k rows of `known` with the largest cosine to each row of `asked` [M,p] have; of classes
// with as many, the one whose nearest row is nearest; of rows as near, the first. All rows where there are fewer than
// k. Throws Error for k < 1, no rows or widths that differ.
std::vector<int64_t> nearest_classes(const LabelledFeatures& known, const Tensor& asked,
                                     int64_t k = nearest_neighbours);

// Multinomial logistic regression on standardised features (mean 0, deviation 1 over the rows it is fitted to):
//     min over W, b of  |W|_F^2 / 2 + C sum_i CE(W x_i + b, y_i)
// scikit-learn's objective, with its C = 1; b is free. Solved by L-BFGS to max |gradient| <= 1e-5 or for 500 steps;
// bit-identical for any number of threads.
class LinearProbe {
public:
    // Throws Error for no rows, labels out of range or C <= 0.
    LinearProbe(const LabelledFeatures& known, int64_t classes, double c = 1.0);

    // z = W x + b for each row of `asked` [M,p]; row-major [M,classes].
    std::vector<double> logits(const Tensor& asked) const;
    std::vector<int64_t> classify(const Tensor& asked) const;  // the largest, the first of equals

private:
    std::vector<double> standardised(const Tensor& rows) const;

    std::size_t classes_, width_ = 0;
    std::vector<double> mean_, deviation_;  // [p]
    std::vector<double> weights_;           // [classes, p + 1], the last of each row is b
};

}  // namespace lethe
