#include "tests/support/reference.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace lethe::test::reference {

Array::Array(const Tensor& tensor) : shape(tensor.shape()) {
    for (const float value : tensor.to_nchw()) values.push_back(static_cast<double>(value));
    set_sizes();
}

Array::Array(const Shape& s) : shape(s), values(static_cast<std::size_t>(s.numel()), 0.0) { set_sizes(); }

void Array::set_sizes() {
    for (int axis = 0; axis < shape.rank(); ++axis) sizes[static_cast<std::size_t>(axis)] = shape[axis];
}

namespace {

// A four-dimensional shape's sizes, read once: Shape checks each access.
struct Sizes {
    explicit Sizes(const Shape& shape) : a(shape[0]), b(shape[1]), c(shape[2]), d(shape[3]) {}
    int64_t a, b, c, d;
};

// Calls visit(n, k, p, q, c, i, h, w, r, s) for every product of a convolution: filter k sees channel c of x as its
// i-th.
template <class Visit>
void for_each_product(const Shape& x_shape, const Shape& w_shape, const Conv2d& op, Visit&& visit) {
    const Sizes x(x_shape), w(w_shape);
    const int64_t rows = (x.c + 2 * op.pad - w.c) / op.stride + 1, columns = (x.d + 2 * op.pad - w.d) / op.stride + 1;
    for (int64_t n = 0; n < x.a; ++n)
        for (int64_t k = 0; k < w.a; ++k)
            for (int64_t p = 0; p < rows; ++p)
                for (int64_t q = 0; q < columns; ++q)
                    for (int64_t i = 0; i < w.b; ++i)
                        for (int64_t r = 0; r < w.c; ++r)
                            for (int64_t s = 0; s < w.d; ++s) {
                                const int64_t h = p * op.stride + r - op.pad, v = q * op.stride + s - op.pad;
                                if (h < 0 || h >= x.c || v < 0 || v >= x.d) continue;
                                visit(n, k, p, q, k / (w.a / op.groups) * w.b + i, i, h, v, r, s);
                            }
}

// Calls visit(n, c, h, w) for every element of a four-dimensional shape.
template <class Visit>
void for_each_element(const Shape& shape, Visit&& visit) {
    const Sizes size(shape);
    for (int64_t n = 0; n < size.a; ++n)
        for (int64_t c = 0; c < size.b; ++c)
            for (int64_t h = 0; h < size.c; ++h)
                for (int64_t w = 0; w < size.d; ++w) visit(n, c, h, w);
}

}  // namespace

Array conv2d(const Array& x, const Array& w, const Conv2d& op) {
    Array y({x.shape[0], w.shape[0], (x.shape[2] + 2 * op.pad - w.shape[2]) / op.stride + 1,
             (x.shape[3] + 2 * op.pad - w.shape[3]) / op.stride + 1});
    for_each_product(x.shape, w.shape, op,
                     [&](auto n, auto k, auto p, auto q, auto c, auto i, auto h, auto v, auto r, auto s) {
                         y.at(n, k, p, q) += x.at(n, c, h, v) * w.at(k, i, r, s);
                     });
    return y;
}

Array conv2d_grad_x(const Array& grad_y, const Array& w, const Shape& x, const Conv2d& op) {
    Array grad_x(x);
    for_each_product(x, w.shape, op,
                     [&](auto n, auto k, auto p, auto q, auto c, auto i, auto h, auto v, auto r, auto s) {
                         grad_x.at(n, c, h, v) += grad_y.at(n, k, p, q) * w.at(k, i, r, s);
                     });
    return grad_x;
}

Array conv2d_grad_w(const Array& grad_y, const Array& x, const Shape& w, const Conv2d& op) {
    Array grad_w(w);
    for_each_product(x.shape, w, op,
                     [&](auto n, auto k, auto p, auto q, auto c, auto i, auto h, auto v, auto r, auto s) {
                         grad_w.at(k, i, r, s) += grad_y.at(n, k, p, q) * x.at(n, c, h, v);
                     });
    return grad_w;
}

Array batchnorm(const Array& x, const Array& gamma, const Array& beta, const Array* residual, const BatchNorm& op,
                BatchNormState& state) {
    const double count = static_cast<double>(x.shape[0] * x.shape[2] * x.shape[3]);
    const auto eps = static_cast<double>(op.eps), momentum = static_cast<double>(op.momentum);
    Array mean(gamma.shape), square(gamma.shape);
    for_each_element(x.shape, [&](auto n, auto c, auto h, auto w) { mean.at(c) += x.at(n, c, h, w) / count; });
    for_each_element(x.shape, [&](auto n, auto c, auto h, auto w) {
        square.at(c) += (x.at(n, c, h, w) - mean.at(c)) * (x.at(n, c, h, w) - mean.at(c));
    });
    for (int64_t c = 0; c < x.shape[1]; ++c) {
        const double variance = op.batch_statistics ? square.at(c) / count : state.running_var.at(c);
        state.mean.at(c) = op.batch_statistics ? mean.at(c) : state.running_mean.at(c);
        state.inv_std.at(c) = 1.0 / std::sqrt(variance + eps);
        if (!op.batch_statistics || !op.update_running) continue;
        state.running_mean.at(c) += momentum * (mean.at(c) - state.running_mean.at(c));
        state.running_var.at(c) += momentum * (square.at(c) / (count - 1.0) - state.running_var.at(c));
    }
    Array y(x.shape);
    for_each_element(x.shape, [&](auto n, auto c, auto h, auto w) {
        double value = gamma.at(c) * (x.at(n, c, h, w) - state.mean.at(c)) * state.inv_std.at(c) + beta.at(c);
        if (residual != nullptr) value += residual->at(n, c, h, w);
        y.at(n, c, h, w) = op.relu ? std::max(value, 0.0) : value;
    });
    return y;
}

BatchNormGradients batchnorm_grad(const Array& grad_y, const Array& y, const Array& x, const Array& gamma,
                                  const BatchNormState& state, const BatchNorm& op) {
    BatchNormGradients grads{Array(x.shape), Array(gamma.shape), Array(gamma.shape), grad_y};
    const auto xhat = [&](auto n, auto c, auto h, auto w) {
        return (x.at(n, c, h, w) - state.mean.at(c)) * state.inv_std.at(c);
    };
    for_each_element(x.shape, [&](auto n, auto c, auto h, auto w) {
        double& g = grads.residual.at(n, c, h, w);
        if (op.relu && !(y.at(n, c, h, w) > 0.0)) g = 0.0;
        grads.beta.at(c) += g;
        grads.gamma.at(c) += g * xhat(n, c, h, w);
    });
    const double count = static_cast<double>(x.shape[0] * x.shape[2] * x.shape[3]);
    for_each_element(x.shape, [&](auto n, auto c, auto h, auto w) {
        double g = grads.residual.at(n, c, h, w);
        if (op.batch_statistics) g -= (grads.beta.at(c) + xhat(n, c, h, w) * grads.gamma.at(c)) / count;
        grads.x.at(n, c, h, w) = gamma.at(c) * state.inv_std.at(c) * g;
    });
    return grads;
}

// Windows that fit; with `ceil` one more for what they leave, if it begins before the end of the image.
int64_t windows(int64_t size, const Pool2d& op) {
    int64_t begin = -op.pad, count = 0;
    for (; begin + op.kernel <= size + op.pad; begin += op.stride) ++count;
    const bool rest = begin - op.stride + op.kernel < size + op.pad;
    return op.ceil && rest && begin < size ? count + 1 : count;
}

Array max_pool2d(const Array& x, const Pool2d& op, std::vector<int64_t>& argmax) {
    Array y({x.shape[0], x.shape[1], windows(x.shape[2], op), windows(x.shape[3], op)});
    argmax.clear();
    for_each_element(y.shape, [&](auto n, auto c, auto p, auto q) {
        double best = -std::numeric_limits<double>::infinity();
        int64_t winner = -1;
        for (int64_t h = p * op.stride - op.pad; h < p * op.stride - op.pad + op.kernel; ++h)
            for (int64_t w = q * op.stride - op.pad; w < q * op.stride - op.pad + op.kernel; ++w) {
                if (h < 0 || h >= x.shape[2] || w < 0 || w >= x.shape[3]) continue;
                if (winner >= 0 && x.at(n, c, h, w) <= best) continue;
                best = x.at(n, c, h, w);
                winner = ((n * x.shape[1] + c) * x.shape[2] + h) * x.shape[3] + w;
            }
        y.at(n, c, p, q) = best;
        argmax.push_back(winner);
    });
    return y;
}

Array avg_pool2d(const Array& x, const Pool2d& op) {
    Array y({x.shape[0], x.shape[1], windows(x.shape[2], op), windows(x.shape[3], op)});
    for_each_element(y.shape, [&](auto n, auto c, auto p, auto q) {
        double sum = 0, size = 0;
        for (int64_t h = p * op.stride - op.pad; h < p * op.stride - op.pad + op.kernel; ++h)
            for (int64_t w = q * op.stride - op.pad; w < q * op.stride - op.pad + op.kernel; ++w) {
                if (h >= x.shape[2] + op.pad || w >= x.shape[3] + op.pad) continue;
                size += 1;
                if (h >= 0 && h < x.shape[2] && w >= 0 && w < x.shape[3]) sum += x.at(n, c, h, w);
            }
        y.at(n, c, p, q) = sum / size;
    });
    return y;
}

Array avg_pool2d_grad(const Array& grad_y, const Shape& x, const Pool2d& op) {
    Array grad_x(x);
    for_each_element(grad_y.shape, [&](auto n, auto c, auto p, auto q) {
        const int64_t top = p * op.stride - op.pad, bottom = std::min(top + op.kernel, x[2] + op.pad);
        const int64_t left = q * op.stride - op.pad, right = std::min(left + op.kernel, x[3] + op.pad);
        const double share = grad_y.at(n, c, p, q) / static_cast<double>((bottom - top) * (right - left));
        for (int64_t h = std::max<int64_t>(top, 0); h < std::min(bottom, x[2]); ++h)
            for (int64_t w = std::max<int64_t>(left, 0); w < std::min(right, x[3]); ++w) grad_x.at(n, c, h, w) += share;
    });
    return grad_x;
}

Array global_avg_pool(const Array& x) {
    Array y({x.shape[0], x.shape[1]});
    for_each_element(x.shape, [&](auto n, auto c, auto h, auto w) {
        y.at(n, c) += x.at(n, c, h, w) / static_cast<double>(x.shape[2] * x.shape[3]);
    });
    return y;
}

Array linear(const Array& x, const Array& w, const Array& b) {
    Array y({x.shape[0], w.shape[0]});
    for (int64_t n = 0; n < x.shape[0]; ++n)
        for (int64_t o = 0; o < w.shape[0]; ++o) {
            y.at(n, o) = b.at(o);
            for (int64_t f = 0; f < x.shape[1]; ++f) y.at(n, o) += x.at(n, f) * w.at(o, f);
        }
    return y;
}

Array linear_grad_x(const Array& grad_y, const Array& w) {
    Array grad_x({grad_y.shape[0], w.shape[1]});
    for (int64_t n = 0; n < grad_y.shape[0]; ++n)
        for (int64_t o = 0; o < w.shape[0]; ++o)
            for (int64_t f = 0; f < w.shape[1]; ++f) grad_x.at(n, f) += grad_y.at(n, o) * w.at(o, f);
    return grad_x;
}

Array linear_grad_w(const Array& grad_y, const Array& x) {
    Array grad_w({grad_y.shape[1], x.shape[1]});
    for (int64_t n = 0; n < grad_y.shape[0]; ++n)
        for (int64_t o = 0; o < grad_y.shape[1]; ++o)
            for (int64_t f = 0; f < x.shape[1]; ++f) grad_w.at(o, f) += grad_y.at(n, o) * x.at(n, f);
    return grad_w;
}

Array softmax_cross_entropy(const Array& logits, const std::vector<int64_t>& labels, Array& probabilities) {
    Array loss({logits.shape[0]});
    probabilities = logits;
    for (int64_t n = 0; n < logits.shape[0]; ++n) {
        double top = logits.at(n, 0), sum = 0.0;
        for (int64_t c = 0; c < logits.shape[1]; ++c) top = std::max(top, logits.at(n, c));
        for (int64_t c = 0; c < logits.shape[1]; ++c) sum += std::exp(logits.at(n, c) - top);
        for (int64_t c = 0; c < logits.shape[1]; ++c) probabilities.at(n, c) = std::exp(logits.at(n, c) - top) / sum;
        loss.at(n) = top + std::log(sum) - logits.at(n, labels[static_cast<std::size_t>(n)]);
    }
    return loss;
}

double row_distance(const Array& a, const Array& b, int64_t n) {
    const int64_t row = a.shape.numel() / a.shape[0];
    double squares = 0.0;
    for (int64_t i = n * row; i < (n + 1) * row; ++i) {
        const double d = a.values.at(static_cast<std::size_t>(i)) - b.values.at(static_cast<std::size_t>(i));
        squares += d * d;
    }
    return std::sqrt(squares);
}

namespace {

double clamp(double value, double low, double high) { return std::min(std::max(value, low), high); }

// One image; d is the perturbation on entry and on return.
void pgd_image(double* d, const double* x, const double* grad, int64_t size, const PgdStep& op) {
    const bool l2 = op.norm == PgdStep::Norm::l2;
    const auto eps = static_cast<double>(op.eps), step = static_cast<double>(op.step);
    const auto low = static_cast<double>(op.low), high = static_cast<double>(op.high);
    const auto norm = [&](const double* v) {
        double squares = 0.0;
        for (int64_t i = 0; i < size; ++i) squares += v[i] * v[i];
        return std::sqrt(squares);
    };
    if (grad != nullptr) {
        const double length = l2 ? std::max(norm(grad), static_cast<double>(op.grad_floor)) : 1.0;
        for (int64_t i = 0; i < size; ++i) {
            const double sign = grad[i] > 0.0 ? 1.0 : (grad[i] < 0.0 ? -1.0 : 0.0);
            d[i] += step * (l2 ? grad[i] / length : sign);
        }
    }
    const auto box = [&] {
        for (int64_t i = 0; i < size; ++i) d[i] = clamp(x[i] + d[i], low, high) - x[i];
    };
    if (op.order == PgdStep::Order::box_then_ball) box();
    const double length = norm(d), shrink = length > eps ? eps / length : 1.0;
    for (int64_t i = 0; i < size; ++i) d[i] = l2 ? d[i] * shrink : clamp(d[i], -eps, eps);
    box();
}

}  // namespace

Array pgd_step(const Array& x_adv, const Array& x, const Array* grad, const PgdStep& op) {
    Array result = x_adv;
    const int64_t row = x.shape.numel() / x.shape[0];
    for (std::size_t i = 0; i < result.values.size(); ++i) result.values[i] -= x.values[i];
    for (int64_t n = 0; n < x.shape[0]; ++n)
        pgd_image(&result.values[static_cast<std::size_t>(n * row)], &x.values[static_cast<std::size_t>(n * row)],
                  grad == nullptr ? nullptr : &grad->values[static_cast<std::size_t>(n * row)], row, op);
    for (std::size_t i = 0; i < result.values.size(); ++i) result.values[i] += x.values[i];
    return result;
}

}  // namespace lethe::test::reference
