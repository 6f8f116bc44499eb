#include "tests/support/reference_tokens.h"

#include <algorithm>
#include <cmath>

namespace lethe::test::reference {
namespace {

template <class Row>
void for_rows(const Shape& shape, const Row& row) {
    for (int64_t n = 0; n < shape[0]; ++n)
        for (int64_t t = 0; t < shape[1]; ++t) row(n, t);
}

struct Moments {
    double mean, inv_std;
};
Moments moments(const Array& x, int64_t n, int64_t t, double eps) {
    const auto features = static_cast<double>(x.shape[2]);
    double mean = 0, variance = 0;
    for (int64_t f = 0; f < x.shape[2]; ++f) mean += x.at(n, t, f) / features;
    for (int64_t f = 0; f < x.shape[2]; ++f) variance += (x.at(n, t, f) - mean) * (x.at(n, t, f) - mean) / features;
    return {mean, 1 / std::sqrt(variance + eps)};
}

}  // namespace

Array token_linear(const Array& x, const Array& w, const Array& b) {
    Array y({x.shape[0], x.shape[1], w.shape[0]});
    for_rows(y.shape, [&](int64_t n, int64_t t) {
        for (int64_t o = 0; o < w.shape[0]; ++o) {
            y.at(n, t, o) = b.at(o);
            for (int64_t f = 0; f < w.shape[1]; ++f) y.at(n, t, o) += x.at(n, t, f) * w.at(o, f);
        }
    });
    return y;
}

Array token_linear_grad_x(const Array& grad_y, const Array& w) {
    Array grad({grad_y.shape[0], grad_y.shape[1], w.shape[1]});
    for_rows(grad.shape, [&](int64_t n, int64_t t) {
        for (int64_t o = 0; o < w.shape[0]; ++o)
            for (int64_t f = 0; f < w.shape[1]; ++f) grad.at(n, t, f) += grad_y.at(n, t, o) * w.at(o, f);
    });
    return grad;
}

Array token_linear_grad_w(const Array& grad_y, const Array& x) {
    Array grad({grad_y.shape[2], x.shape[2]});
    for_rows(x.shape, [&](int64_t n, int64_t t) {
        for (int64_t o = 0; o < grad.shape[0]; ++o)
            for (int64_t f = 0; f < grad.shape[1]; ++f) grad.at(o, f) += grad_y.at(n, t, o) * x.at(n, t, f);
    });
    return grad;
}

Array tokens(const Array& patches, const Array& class_token, const Array& position) {
    const Shape& s = patches.shape;
    Array y({s[0], 1 + s[2] * s[3], s[1]});
    for_rows(y.shape, [&](int64_t n, int64_t t) {
        for (int64_t d = 0; d < s[1]; ++d) {
            const double value = t == 0 ? class_token.at(0, 0, d) : patches.at(n, d, (t - 1) / s[3], (t - 1) % s[3]);
            y.at(n, t, d) = value + position.at(0, t, d);
        }
    });
    return y;
}

Array layer_norm(const Array& x, const Array& gamma, const Array& beta, double eps) {
    Array y(x.shape);
    for_rows(x.shape, [&](int64_t n, int64_t t) {
        const auto [mean, inv_std] = moments(x, n, t, eps);
        for (int64_t f = 0; f < x.shape[2]; ++f)
            y.at(n, t, f) = (x.at(n, t, f) - mean) * inv_std * gamma.at(f) + beta.at(f);
    });
    return y;
}

// From the Jacobian of n_i = (x_i - mean) inv_std: dn_i / dx_j = inv_std ([i = j] - 1/F - n_i n_j / F).
LayerNormGradients layer_norm_grad(const Array& grad_y, const Array& x, const Array& gamma, double eps) {
    LayerNormGradients grads{Array(x.shape), Array(gamma.shape), Array(gamma.shape)};
    const int64_t features = x.shape[2];
    for_rows(x.shape, [&](int64_t n, int64_t t) {
        const auto [mean, inv_std] = moments(x, n, t, eps);
        std::vector<double> normal;
        for (int64_t f = 0; f < features; ++f) normal.push_back((x.at(n, t, f) - mean) * inv_std);
        const auto of = [&](int64_t f) { return normal[static_cast<std::size_t>(f)]; };
        for (int64_t i = 0; i < features; ++i) {
            const double g = grad_y.at(n, t, i);
            grads.gamma.at(i) += g * of(i);
            grads.beta.at(i) += g;
            for (int64_t j = 0; j < features; ++j)
                grads.x.at(n, t, j) += g * gamma.at(i) * inv_std *
                                       ((i == j ? 1.0 : 0.0) - (1.0 + of(i) * of(j)) / static_cast<double>(features));
        }
    });
    return grads;
}

Array attention_probabilities(const Array& qkv, int64_t heads) {
    const int64_t tokens = qkv.shape[1], features = qkv.shape[2] / 3, size = features / heads;
    Array p({qkv.shape[0] * heads, tokens, tokens});
    for_rows(p.shape, [&](int64_t task, int64_t t) {
        const int64_t n = task / heads, first = task % heads * size;
        double largest = -1e300, sum = 0;
        for (int64_t u = 0; u < tokens; ++u) {
            double score = 0;
            for (int64_t i = first; i < first + size; ++i) score += qkv.at(n, t, i) * qkv.at(n, u, features + i);
            p.at(task, t, u) = score / std::sqrt(static_cast<double>(size));
            largest = std::max(largest, p.at(task, t, u));
        }
        for (int64_t u = 0; u < tokens; ++u) sum += std::exp(p.at(task, t, u) - largest);
        for (int64_t u = 0; u < tokens; ++u) p.at(task, t, u) = std::exp(p.at(task, t, u) - largest) / sum;
    });
    return p;
}

Array attention(const Array& qkv, int64_t heads) {
    const int64_t tokens = qkv.shape[1], features = qkv.shape[2] / 3, size = features / heads;
    const Array p = attention_probabilities(qkv, heads);
    Array y({qkv.shape[0], tokens, features});
    for_rows(y.shape, [&](int64_t n, int64_t t) {
        for (int64_t i = 0; i < features; ++i)
            for (int64_t u = 0; u < tokens; ++u)
                y.at(n, t, i) += p.at(n * heads + i / size, t, u) * qkv.at(n, u, 2 * features + i);
    });
    return y;
}

// Through the softmax's Jacobian: dp_u / ds_v = p_u ([u = v] - p_v).
Array attention_grad(const Array& grad_y, const Array& qkv, int64_t heads) {
    const int64_t tokens = qkv.shape[1], features = qkv.shape[2] / 3, size = features / heads;
    const Array p = attention_probabilities(qkv, heads);
    Array grad(qkv.shape);
    for_rows(p.shape, [&](int64_t task, int64_t t) {
        const int64_t n = task / heads, first = task % heads * size;
        std::vector<double> of_p(static_cast<std::size_t>(tokens));
        double mean = 0;
        for (int64_t u = 0; u < tokens; ++u) {
            double& g = of_p[static_cast<std::size_t>(u)];
            for (int64_t i = first; i < first + size; ++i) {
                g += grad_y.at(n, t, i) * qkv.at(n, u, 2 * features + i);
                grad.at(n, u, 2 * features + i) += p.at(task, t, u) * grad_y.at(n, t, i);
            }
            mean += p.at(task, t, u) * g;
        }
        for (int64_t u = 0; u < tokens; ++u) {
            const double of_score =
                p.at(task, t, u) * (of_p[static_cast<std::size_t>(u)] - mean) / std::sqrt(static_cast<double>(size));
            for (int64_t i = first; i < first + size; ++i) {
                grad.at(n, t, i) += of_score * qkv.at(n, u, features + i);
                grad.at(n, u, features + i) += of_score * qkv.at(n, t, i);
            }
        }
    });
    return grad;
}

}  // namespace lethe::test::reference
