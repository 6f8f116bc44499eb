// The oracle: every operation as plain loops in double, written apart from the library, slow and obvious.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "tensor/ops.h"
#include "tensor/tensor.h"

namespace lethe::test::reference {

// A tensor's contents as doubles in logical order, with logical indexing.
struct Array {
    Shape shape;
    std::vector<double> values;

    explicit Array(const Shape& s);
    explicit Array(const Tensor& tensor);

    double& at(int64_t a, int64_t b = 0, int64_t c = 0, int64_t d = 0) { return values[index(a, b, c, d)]; }
    double at(int64_t a, int64_t b = 0, int64_t c = 0, int64_t d = 0) const { return values[index(a, b, c, d)]; }
    operator std::span<const double>() const { return values; }  // NOLINT(google-explicit-constructor)

private:
    void set_sizes();
    std::size_t index(int64_t a, int64_t b, int64_t c, int64_t d) const {
        return static_cast<std::size_t>(((a * sizes[1] + b) * sizes[2] + c) * sizes[3] + d);
    }

    std::array<int64_t, 4> sizes{1, 1, 1, 1};  // the shape, read once
};

Array conv2d(const Array& x, const Array& w, const Conv2d& op);
Array conv2d_grad_x(const Array& grad_y, const Array& w, const Shape& x, const Conv2d& op);
Array conv2d_grad_w(const Array& grad_y, const Array& x, const Shape& w, const Conv2d& op);

struct BatchNormState {
    Array mean, inv_std, running_mean, running_var;
};
// residual may be null. `state` holds the running statistics before, and everything after.
Array batchnorm(const Array& x, const Array& gamma, const Array& beta, const Array* residual, const BatchNorm& op,
                BatchNormState& state);
struct BatchNormGradients {
    Array x, gamma, beta, residual;
};
BatchNormGradients batchnorm_grad(const Array& grad_y, const Array& y, const Array& x, const Array& gamma,
                                  const BatchNormState& state, const BatchNorm& op);

// `argmax` gets the flattened NCHW offset in x of each winner.
Array max_pool2d(const Array& x, const Pool2d& op, std::vector<int64_t>& argmax);
Array avg_pool2d(const Array& x, const Pool2d& op);
Array avg_pool2d_grad(const Array& grad_y, const Shape& x, const Pool2d& op);
Array global_avg_pool(const Array& x);

Array linear(const Array& x, const Array& w, const Array& b);
Array linear_grad_x(const Array& grad_y, const Array& w);
Array linear_grad_w(const Array& grad_y, const Array& x);

// Losses [N]; `probabilities` is written.
Array softmax_cross_entropy(const Array& logits, const std::vector<int64_t>& labels, Array& probabilities);

// The new x_adv; grad null: projection only.
Array pgd_step(const Array& x_adv, const Array& x, const Array* grad, const PgdStep& op);
// L2 norm of row n of a - b.
double row_distance(const Array& a, const Array& b, int64_t n);

}  // namespace lethe::test::reference
