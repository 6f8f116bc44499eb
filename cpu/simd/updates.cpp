// Updates in place: attack steps and optimizer steps.
#include <math.h>

#include "cpu/simd/tables.h"
#include "cpu/simd/vec.h"

namespace lethe::simd::LETHE_ISA {
namespace {

// Comparisons are written so that NaN passes through: a broken gradient must not look like a healthy image.
LETHE_INLINE void clamp(Vec& v, const Vec& low, const Vec& high) {
    v = v > high ? high : v;
    v = v < low ? low : v;
}
LETHE_INLINE void clamp(float& v, float low, float high) {
    v = v > high ? high : v;
    v = v < low ? low : v;
}

// The box before the ball, or all numbers.
struct Box {
    explicit Box(const Pgd& op) : low(op.box_first ? op.low : -INFINITY), high(op.box_first ? op.high : INFINITY) {}
    float low, high;
};

// A sum of squares in double, over enough lanes to hide the latency of an addition.
struct Squares {
    Wide lanes_[4] = {};
    double rest = 0.0;

    LETHE_INLINE void add(const Vec& v, int pair) {
        float values[lanes];
        at(values) = v;
        Wide first, second;
        widen(values, first);
        widen(values + 8, second);
        lanes_[2 * pair] += first * first;
        lanes_[2 * pair + 1] += second * second;
    }
    LETHE_INLINE void add(float v) { rest += static_cast<double>(v) * static_cast<double>(v); }
    LETHE_INLINE double sum() const { return total((lanes_[0] + lanes_[1]) + (lanes_[2] + lanes_[3])) + rest; }
};

double sum_squares(const float* x, int64_t n) {
    Squares squares;
    int64_t i = 0;
    for (; i + 2 * lanes <= n; i += 2 * lanes) {
        const Vec first = at(x + i), second = at(x + i + lanes);
        squares.add(first, 0);
        squares.add(second, 1);
    }
    for (; i < n; ++i) squares.add(x[i]);
    return squares.sum();
}

// x_adv becomes d = box(x_adv + factor * grad) - x; returns the sum of its squares.
template <bool Step>
double perturb(float* x_adv, const float* x, const float* grad, float factor, const Box& box, int64_t n) {
    Vec low, high, factors;
    set(low, box.low);
    set(high, box.high);
    set(factors, factor);
    Squares squares;
    int64_t i = 0;
    for (; i + 2 * lanes <= n; i += 2 * lanes)
#pragma GCC unroll 2
        for (int k = 0; k < 2; ++k) {
            const int64_t j = i + k * lanes;
            Vec v = at(x_adv + j);
            if constexpr (Step) v += factors * at(grad + j);
            clamp(v, low, high);
            v -= at(x + j);
            squares.add(v, k);
            at(x_adv + j) = v;
        }
    for (; i < n; ++i) {
        float v = x_adv[i];
        if (Step) v += factor * grad[i];
        clamp(v, box.low, box.high);
        v -= x[i];
        squares.add(v);
        x_adv[i] = v;
    }
    return squares.sum();
}

// The last operation is always the clamp to the box, which thus holds exactly. A shrunk step from an x inside the box
// stays inside, so this clamp changes nothing where the box came first.
void pgd_l2(float* x_adv, const float* x, const float* grad, int64_t n, const Pgd& op) {
    double squares = 0.0;
    if (grad != nullptr) {
        const double norm = sqrt(sum_squares(grad, n)), floor = static_cast<double>(op.grad_floor);
        const double factor = static_cast<double>(op.step) / (norm < floor ? floor : norm);
        squares = perturb<true>(x_adv, x, grad, static_cast<float>(factor), Box(op), n);
    } else {
        squares = perturb<false>(x_adv, x, nullptr, 0.0f, Box(op), n);
    }
    const double length = sqrt(squares), radius = static_cast<double>(op.eps);
    const float shrink = length > radius ? static_cast<float>(radius / length) : 1.0f;
    const float low = op.low, high = op.high;
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) {
        float v = x[i] + shrink * x_adv[i];
        clamp(v, low, high);
        x_adv[i] = v;
    }
}

// One vector of the L-infinity step; grad may be null.
LETHE_INLINE void linf_block(float* x_adv, const float* x, const float* grad, const Box& box, const Pgd& op) {
    Vec low, high, radius, forward;
    const Vec zero = {};
    Vec v = at(x_adv);
    if (grad != nullptr) {
        const Vec g = at(grad);
        set(forward, op.step);
        v += g > zero ? forward : (g < zero ? -forward : g);  // the sign of 0 is 0, that of NaN is NaN
    }
    set(low, box.low);
    set(high, box.high);
    clamp(v, low, high);
    v -= at(x);
    set(radius, op.eps);
    clamp(v, -radius, radius);
    v += at(x);
    set(low, op.low);
    set(high, op.high);
    clamp(v, low, high);
    at(x_adv) = v;
}

void pgd_linf(float* x_adv, const float* x, const float* grad, int64_t n, const Pgd& op) {
    const Box box(op);
    int64_t i = 0;
    for (; i + lanes <= n; i += lanes) linf_block(x_adv + i, x + i, grad == nullptr ? nullptr : grad + i, box, op);
    float a[lanes] = {}, b[lanes] = {}, g[lanes] = {};  // the rest, as one vector
    for (int64_t j = 0; i + j < n; ++j) {
        a[j] = x_adv[i + j];
        b[j] = x[i + j];
        g[j] = grad == nullptr ? 0.0f : grad[i + j];
    }
    linf_block(a, b, g, box, op);
    for (int64_t j = 0; i + j < n; ++j) x_adv[i + j] = a[j];
}

void pgd_step(float* x_adv, const float* x, const float* grad, int64_t n, const Pgd& op) {
    if (op.l2) return pgd_l2(x_adv, x, grad, n, op);
    pgd_linf(x_adv, x, grad, n, op);
}

LETHE_INLINE float clipped(float gradient, float factor, float most) {
    float g = factor * gradient;
    clamp(g, -most, most);
    return g;
}

enum class Velocity { none, first, later };

template <Velocity Kind, bool Penalty>
void sgd_loop(const SgdArrays& a, int64_t n, const SgdFactors& f) {
    float *param = a.param, *momentum = a.momentum;
    const float *grad = a.grad, *weight = a.weight, *anchor = a.anchor;
    const float lr = f.lr, rate = f.momentum, decay = f.weight_decay, lambda = f.lambda;
    const float factor = f.clip.factor, most = f.clip.most;
    const bool nesterov = f.nesterov;
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) {
        const float theta = param[i];
        float g = clipped(grad[i], factor, most) + decay * theta;
        if constexpr (Penalty) g += lambda * weight[i] * (theta - anchor[i]);
        if constexpr (Kind != Velocity::none) {
            const float v = Kind == Velocity::first ? g : rate * momentum[i] + g;
            momentum[i] = v;
            g = nesterov ? g + rate * v : v;
        }
        param[i] = theta - lr * g;
    }
}

template <bool Penalty>
void sgd_kind(const SgdArrays& a, int64_t n, const SgdFactors& f) {
    if (a.momentum == nullptr) return sgd_loop<Velocity::none, Penalty>(a, n, f);
    if (f.first_step) return sgd_loop<Velocity::first, Penalty>(a, n, f);
    sgd_loop<Velocity::later, Penalty>(a, n, f);
}

void sgd(const SgdArrays& arrays, int64_t n, const SgdFactors& factors) {
    if (arrays.weight != nullptr) return sgd_kind<true>(arrays, n, factors);
    sgd_kind<false>(arrays, n, factors);
}

template <bool Penalty>
void adam_loop(const AdamArrays& a, int64_t n, const AdamFactors& f) {
    float *param = a.param, *exp_avg = a.exp_avg, *exp_avg_sq = a.exp_avg_sq;
    const float *grad = a.grad, *weight = a.weight, *anchor = a.anchor;
    const float beta1 = f.beta1, beta2 = f.beta2, decay = f.weight_decay, lambda = f.lambda;
    const float step_size = f.step_size, correction = f.inv_sqrt_correction2, eps = f.eps, shrink = f.shrink;
    const float factor = f.clip.factor, most = f.clip.most;
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) {
        float theta = param[i];
        float g = clipped(grad[i], factor, most) + decay * theta;
        if constexpr (Penalty) g += lambda * weight[i] * (theta - anchor[i]);
        theta -= shrink * theta;
        const float m = beta1 * exp_avg[i] + (1.0f - beta1) * g;
        const float v = beta2 * exp_avg_sq[i] + (1.0f - beta2) * g * g;
        exp_avg[i] = m;
        exp_avg_sq[i] = v;
        param[i] = theta - step_size * m / (__builtin_sqrtf(v) * correction + eps);
    }
}

void adam(const AdamArrays& arrays, int64_t n, const AdamFactors& factors) {
    if (arrays.weight != nullptr) return adam_loop<true>(arrays, n, factors);
    adam_loop<false>(arrays, n, factors);
}

void ema(float* average, const float* value, int64_t n, float share) {
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) average[i] += share * (value[i] - average[i]);
}

}  // namespace

void add_updates(Kernels& table) {
    table.pgd_step = pgd_step;
    table.sgd = sgd;
    table.adam = adam;
    table.ema = ema;
}

}  // namespace lethe::simd::LETHE_ISA
