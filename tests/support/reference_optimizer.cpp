#include "tests/support/reference_optimizer.h"

#include <algorithm>
#include <cmath>

namespace lethe::test::reference {
namespace {

// The gradient, clipped, with weight decay and penalty.
Array full_gradient(const Array& theta, const Array& grad, const GradientClip& clip, const Penalty& penalty,
                    float weight_decay, float lambda) {
    Array g = grad;
    const double factor = clip.factor.defined() ? Array(clip.factor).values[0] : 1.0;
    for (std::size_t i = 0; i < g.values.size(); ++i) {
        g.values[i] *= factor;
        if (clip.value > 0)
            g.values[i] = std::clamp(g.values[i], -static_cast<double>(clip.value), static_cast<double>(clip.value));
        g.values[i] += static_cast<double>(weight_decay) * theta.values[i];
    }
    if (!penalty.weight.defined()) return g;
    const Array weight(penalty.weight), anchor(penalty.anchor);
    for (std::size_t i = 0; i < g.values.size(); ++i)
        g.values[i] += static_cast<double>(lambda) * weight.values[i] * (theta.values[i] - anchor.values[i]);
    return g;
}

}  // namespace

void sgd(Array& theta, const Array& grad, Array& momentum, const Penalty& penalty, float weight_decay, const Sgd& op) {
    const Array g = full_gradient(theta, grad, op.clip, penalty, weight_decay, op.lambda);
    const auto lr = static_cast<double>(op.lr), rate = static_cast<double>(op.momentum);
    for (std::size_t i = 0; i < g.values.size(); ++i) {
        double& v = momentum.values[i];
        v = rate * v + g.values[i];
        theta.values[i] -= lr * (op.nesterov ? g.values[i] + rate * v : v);
    }
}

void adam(Array& theta, const Array& grad, Array& exp_avg, Array& exp_avg_sq, const Penalty& penalty,
          float weight_decay, const Adam& op) {
    const Array g = full_gradient(theta, grad, op.clip, penalty, op.decoupled ? 0.0f : weight_decay, op.lambda);
    const auto b1 = static_cast<double>(op.beta1), b2 = static_cast<double>(op.beta2);
    const auto step = static_cast<double>(op.step);
    for (std::size_t i = 0; i < g.values.size(); ++i) {
        double &m = exp_avg.values[i], &v = exp_avg_sq.values[i];
        m = b1 * m + (1 - b1) * g.values[i];
        v = b2 * v + (1 - b2) * g.values[i] * g.values[i];
        const double mean = m / (1 - std::pow(b1, step)), square = v / (1 - std::pow(b2, step));
        if (op.decoupled) theta.values[i] *= 1 - static_cast<double>(op.lr) * static_cast<double>(weight_decay);
        theta.values[i] -= static_cast<double>(op.lr) * mean / (std::sqrt(square) + static_cast<double>(op.eps));
    }
}

}  // namespace lethe::test::reference
