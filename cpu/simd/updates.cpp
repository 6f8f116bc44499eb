// Updates in place: attack steps and optimizer steps.
#include <math.h>

#include "cpu/simd/tables.h"
#include "cpu/simd/vec.h"

namespace lethe::simd::LETHE_ISA {
namespace {

// Comparisons are written so that NaN passes through: a broken gradient must not look like a healthy image.
LETHE_INLINE float clamp(float v, float low, float high) { return v < low ? low : (v > high ? high : v); }

double sum_squares(const float* x, int64_t n) {
    double sum = 0.0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < n; ++i) sum += static_cast<double>(x[i]) * static_cast<double>(x[i]);
    return sum;
}

// The last operation is always the clamp to the box, which thus holds exactly. A shrunk step from an x inside the box
// stays inside, so this clamp changes nothing where the box came first.
void pgd_l2(float* x_adv, const float* x, const float* grad, int64_t n, const Pgd& op) {
    float factor = 0.0f;
    if (grad != nullptr) {
        const double norm = sqrt(sum_squares(grad, n)), floor = static_cast<double>(op.grad_floor);
        factor = static_cast<float>(static_cast<double>(op.step) / (norm < floor ? floor : norm));
    }
    const float box_low = op.box_first ? op.low : -INFINITY, box_high = op.box_first ? op.high : INFINITY;
    double squares = 0.0;
    if (grad != nullptr) {
#pragma omp simd reduction(+ : squares)
        for (int64_t i = 0; i < n; ++i) {
            const float d = clamp(x_adv[i] + factor * grad[i], box_low, box_high) - x[i];
            squares += static_cast<double>(d) * static_cast<double>(d);
            x_adv[i] = d;
        }
    } else {
#pragma omp simd reduction(+ : squares)
        for (int64_t i = 0; i < n; ++i) {
            const float d = clamp(x_adv[i], box_low, box_high) - x[i];
            squares += static_cast<double>(d) * static_cast<double>(d);
            x_adv[i] = d;
        }
    }
    const double length = sqrt(squares), radius = static_cast<double>(op.eps);
    const float shrink = length > radius ? static_cast<float>(radius / length) : 1.0f;
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) x_adv[i] = clamp(x[i] + shrink * x_adv[i], op.low, op.high);
}

void pgd_linf(float* x_adv, const float* x, const float* grad, int64_t n, const Pgd& op) {
    const float box_low = op.box_first ? op.low : -INFINITY, box_high = op.box_first ? op.high : INFINITY;
    const float eps = op.eps, low = op.low, high = op.high;
    if (grad != nullptr) {
#pragma omp simd
        for (int64_t i = 0; i < n; ++i) {
            const float sign = grad[i] > 0.0f ? op.step : (grad[i] < 0.0f ? -op.step : grad[i]);  // 0 and NaN stay
            const float d = clamp(clamp(x_adv[i] + sign, box_low, box_high) - x[i], -eps, eps);
            x_adv[i] = clamp(x[i] + d, low, high);
        }
    } else {
#pragma omp simd
        for (int64_t i = 0; i < n; ++i) {
            const float d = clamp(clamp(x_adv[i], box_low, box_high) - x[i], -eps, eps);
            x_adv[i] = clamp(x[i] + d, low, high);
        }
    }
}

void pgd_step(float* x_adv, const float* x, const float* grad, int64_t n, const Pgd& op) {
    if (op.l2) return pgd_l2(x_adv, x, grad, n, op);
    pgd_linf(x_adv, x, grad, n, op);
}

enum class Velocity { none, first, later };

template <Velocity Kind, bool Penalty>
void sgd_loop(const SgdArrays& a, int64_t n, const SgdFactors& f) {
    float *param = a.param, *momentum = a.momentum;
    const float *grad = a.grad, *weight = a.weight, *anchor = a.anchor;
    const float lr = f.lr, rate = f.momentum, decay = f.weight_decay, lambda = f.lambda;
    const bool nesterov = f.nesterov;
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) {
        const float theta = param[i];
        float g = grad[i] + decay * theta;
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
    const float step_size = f.step_size, correction = f.inv_sqrt_correction2, eps = f.eps;
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) {
        const float theta = param[i];
        float g = grad[i] + decay * theta;
        if constexpr (Penalty) g += lambda * weight[i] * (theta - anchor[i]);
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

}  // namespace

void add_updates(Kernels& table) {
    table.pgd_step = pgd_step;
    table.sgd = sgd;
    table.adam = adam;
}

}  // namespace lethe::simd::LETHE_ISA
