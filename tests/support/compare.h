// The one comparator of all numeric tests.
#pragma once

#include <gtest/gtest.h>

#include <span>
#include <string>

#include "data/file.h"
#include "tensor/tensor.h"

namespace lethe::test {

// How many roundings of size eps(float32) a result may have collected: |a - b| <= atol + c * eps * sqrt(K) * |ref|,
// with K the length of the longest sum behind one element. c by kind of computation; these are the only constants:
struct Tolerance {
    double c;
    double atol;
};
inline constexpr Tolerance exact{0, 0};
inline constexpr Tolerance elementwise{4, 1e-7};   // one formula per element
inline constexpr Tolerance reduction{8, 1e-6};     // sums, convolutions, matrix products
inline constexpr Tolerance network{64, 2e-5};      // a whole forward or backward pass
inline constexpr Tolerance trajectory{512, 1e-4};  // several optimizer or attack steps

// Compares in logical order; a non-finite value fails first. On failure prints the worst index and the share of the
// tolerance used there. `k` is the reduction length K.
testing::AssertionResult close(std::span<const float> actual, std::span<const float> expected, Tolerance tolerance,
                               double k = 1);
testing::AssertionResult close(std::span<const float> actual, std::span<const double> expected, Tolerance tolerance,
                               double k = 1);
testing::AssertionResult close(const Tensor& actual, const Tensor& expected, Tolerance tolerance, double k = 1);

// True when shapes and all bytes are equal.
testing::AssertionResult identical(const Tensor& actual, const Tensor& expected);

// Calls `action` and returns the text of the lethe::Error it threw; fails the test if it threw none.
template <class Action>
std::string error_of(Action&& action);

// A path of the optional material (real CIFAR-10, published checkpoints): $LETHE_SHARED or ../shared beside the
// project. Empty where absent; such tests then skip with a message that says what is missing.
std::string shared_path(const std::string& relative);

// A tensor of reproducible N(0,1) values times `scale`.
Tensor random_tensor(const Shape& shape, uint64_t seed, float scale = 1.0f);

// A fresh empty folder, removed with everything in it at the end of the scope.
class TemporaryFolder {
public:
    std::string path(const std::string& name = "") const;

private:
    lethe::TemporaryFolder folder_{"lethe-test"};
};

}  // namespace lethe::test

#include "tensor/error.h"

template <class Action>
std::string lethe::test::error_of(Action&& action) {
    try {
        action();
    } catch (const lethe::Error& error) {
        return error.what();
    }
    ADD_FAILURE() << "no lethe::Error was thrown";
    return "";
}
