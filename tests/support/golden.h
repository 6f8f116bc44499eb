// Golden values: what PyTorch computed (tests/golden/make_golden.py).
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "nn/model.h"
#include "tests/support/compare.h"

namespace lethe::test {

// One file of tests/golden.
class Golden {
public:
    explicit Golden(const std::string& name);

    // Throws Error when there is no such tensor.
    const Tensor& operator[](const std::string& name) const;
    // All tensors whose names begin with `prefix`, which is taken off. Throws Error when there are none.
    StateDict below(const std::string& prefix) const;

private:
    std::string name_;
    StateDict state_;
};

// The ResNet-20 of tests/golden/resnet20_state.safetensors, normalising its input with ImageNet's mean and deviation.
std::unique_ptr<Model> golden_resnet20();

// Networks too large to store are filled from one formula on both sides: hashed() and fill_hashed() of
// tests/golden/make_golden.py. `count` numbers in [-0.5, 0.5) that depend on the name and the index only.
std::vector<float> hashed(const std::string& name, int64_t count);
// Every float32 tensor of a state, which shares its memory with the model, by its name: matrices and convolutions with
// variance 2 / fan_in (He et al. 2015), "weight" and "running_var" of one dimension around 1, the others around 0.
void fill_hashed(const StateDict& state);

const Tensor& entry(const StateDict& state, const std::string& name);  // throws Error when there is none
// Copies: the tensors of a model's state() share the model's memory.
StateDict copy_of(const StateDict& state);
std::vector<int64_t> labels_of(const Tensor& labels);

// close() after dividing both by the largest |expected|. For sums whose terms cancel: their rounding errors are
// proportional to the terms, not to what is left of them.
testing::AssertionResult close_to_scale(const Tensor& actual, const Tensor& expected, Tolerance tolerance,
                                        double k = 1);

// For weights after several steps: |actual - expected|_2 <= share * |expected - before|_2. Relative to the movement,
// not to the weights, which hardly move. Elementwise comparison is hopeless there: rounding decides the sign of some
// relu input in every pass, and each such case moves single gradients by about 1e-3.
testing::AssertionResult moved_alike(const Tensor& actual, const Tensor& expected, const Tensor& before, double share);

}  // namespace lethe::test
