#include "tensor/ops.h"

#include <cmath>

#include "tensor/elementwise.h"
#include "tensor/error.h"

namespace lethe {

Shape Conv2d::output_shape(const Shape& x, const Shape& w) const {
    check(x.rank() == 4, "conv2d: x must be [N,C,H,W], got ", x);
    check(w.rank() == 4, "conv2d: w must be [K,C/groups,R,S], got ", w);
    check(groups >= 1 && w[0] % groups == 0, "conv2d: ", groups, " groups do not divide the ", w[0], " filters of w ",
          w);
    check(w[1] * groups == x[1], "conv2d: w ", w, " expects ", w[1] * groups, " input channels",
          groups > 1 ? concat(" in ", groups, " groups") : "", ", x ", x, " has ", x[1]);
    check(stride >= 1 && pad >= 0, "conv2d: stride must be >= 1 and pad >= 0, got ", stride, " and ", pad);
    const int64_t rows = x[2] + 2 * pad - w[2], columns = x[3] + 2 * pad - w[3];
    check(rows >= 0 && columns >= 0, "conv2d: kernel ", w, " is larger than the padded input ", x, " with pad ", pad);
    return {x[0], w[0], rows / stride + 1, columns / stride + 1};
}

Shape Pool2d::output_shape(const Shape& x) const {
    check(x.rank() == 4, "pool2d: x must be [N,C,H,W], got ", x);
    check(kernel >= 1 && stride >= 1 && pad >= 0 && 2 * pad <= kernel,
          "pool2d: kernel and stride must be >= 1 and 0 <= pad <= kernel / 2, got ", kernel, ", ", stride, ", ", pad);
    const auto windows = [this](int64_t size) -> int64_t {
        const int64_t room = size + 2 * pad - kernel + (ceil ? stride - 1 : 0);
        if (room < 0 || size == 0) return 0;
        const int64_t count = room / stride + 1;
        return ceil && (count - 1) * stride >= size + pad ? count - 1 : count;
    };
    const int64_t rows = windows(x[2]), columns = windows(x[3]);
    check(rows > 0 && columns > 0, "pool2d: window ", kernel, " is larger than the padded input ", x);
    return {x[0], x[1], rows, columns};
}

namespace {

// What Adam's running mean of gradients, started at zero, lacks after `step` steps: 1 - beta^step.
double bias_correction(float beta, int64_t step) {
    return 1.0 - std::pow(static_cast<double>(beta), static_cast<double>(step));
}

}  // namespace

float Adam::step_size() const { return static_cast<float>(static_cast<double>(lr) / bias_correction(beta1, step)); }

float Adam::inv_sqrt_correction2() const { return static_cast<float>(1.0 / std::sqrt(bias_correction(beta2, step))); }

const char* name(Unary op) {
    switch (op) {
#define LETHE_NAME(op_name, functor) \
    case Unary::op_name:             \
        return #op_name;
        LETHE_UNARY_OPS(LETHE_NAME)
#undef LETHE_NAME
    }
    return "unknown";
}

const char* name(Binary op) {
    switch (op) {
#define LETHE_NAME(op_name, functor) \
    case Binary::op_name:            \
        return #op_name;
        LETHE_BINARY_OPS(LETHE_NAME)
#undef LETHE_NAME
    }
    return "unknown";
}

}  // namespace lethe
