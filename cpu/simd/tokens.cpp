// The rows of transformers: layer normalisation and the softmax of attention. A row's sums are added up in one order,
// in double, whatever rows are computed with it.
#include "cpu/simd/tables.h"
#include "cpu/simd/vec.h"
#include "cpu/simd/vector_math.h"

namespace lethe::simd::LETHE_ISA {
namespace {

void layer_norm(const float* x, const float* gamma, const float* beta, float eps, float* y, float* mean, float* inv_std,
                int64_t rows, int64_t features) {
    for (int64_t r = 0; r < rows; ++r, x += features, y += features) {
        double sum = 0.0, squares = 0.0;
#pragma omp simd reduction(+ : sum)
        for (int64_t f = 0; f < features; ++f) sum += static_cast<double>(x[f]);
        const double center = sum / static_cast<double>(features);
#pragma omp simd reduction(+ : squares)
        for (int64_t f = 0; f < features; ++f) {
            const double away = static_cast<double>(x[f]) - center;
            squares += away * away;
        }
        const auto m = static_cast<float>(center);
        const double variance = squares / static_cast<double>(features);
        const auto scale = static_cast<float>(1.0 / sqrt(variance + static_cast<double>(eps)));
#pragma omp simd
        for (int64_t f = 0; f < features; ++f) y[f] = (x[f] - m) * scale * gamma[f] + beta[f];
        mean[r] = m;
        inv_std[r] = scale;
    }
}

// With h = gamma g and n = (x - mean) inv_std: grad_x = inv_std (h - mean(h) - n mean(h n)).
void layer_norm_grad_x(const float* g, const float* x, const float* gamma, const float* mean, const float* inv_std,
                       float* grad_x, int64_t rows, int64_t features) {
    for (int64_t r = 0; r < rows; ++r, g += features, x += features, grad_x += features) {
        const float m = mean[r], scale = inv_std[r];
        double sum = 0.0, products = 0.0;
#pragma omp simd reduction(+ : sum, products)
        for (int64_t f = 0; f < features; ++f) {
            const float h = gamma[f] * g[f];
            sum += static_cast<double>(h);
            products += static_cast<double>(h) * static_cast<double>((x[f] - m) * scale);
        }
        const auto shift = static_cast<float>(sum / static_cast<double>(features));
        const auto slope = static_cast<float>(products / static_cast<double>(features));
#pragma omp simd
        for (int64_t f = 0; f < features; ++f)
            grad_x[f] = scale * (gamma[f] * g[f] - shift - (x[f] - m) * scale * slope);
    }
}

void layer_norm_grad_sums(const float* g, const float* x, const float* mean, const float* inv_std, int64_t rows,
                          int64_t features, double* sums, double* products) {
    for (int64_t r = 0; r < rows; ++r, g += features, x += features) {
        const float m = mean[r], scale = inv_std[r];
#pragma omp simd
        for (int64_t f = 0; f < features; ++f) {
            sums[f] += static_cast<double>(g[f]);
            products[f] += static_cast<double>(g[f]) * static_cast<double>((x[f] - m) * scale);
        }
    }
}

// The largest is taken out, so that nothing overflows. A NaN that the maximum misses is met again by exp.
void softmax_rows(float* x, float scale, int64_t rows, int64_t columns) {
    for (int64_t r = 0; r < rows; ++r, x += columns) {
        float top = x[0];
#pragma omp simd reduction(max : top)
        for (int64_t c = 1; c < columns; ++c) top = x[c] > top ? x[c] : top;
#pragma omp simd
        for (int64_t c = 0; c < columns; ++c) x[c] = expf(scale * (x[c] - top));
        double sum = 0.0;
#pragma omp simd reduction(+ : sum)
        for (int64_t c = 0; c < columns; ++c) sum += static_cast<double>(x[c]);
        const auto inverse = static_cast<float>(1.0 / sum);
#pragma omp simd
        for (int64_t c = 0; c < columns; ++c) x[c] *= inverse;
    }
}

void softmax_rows_grad(const float* p, float* g, float scale, int64_t rows, int64_t columns) {
    for (int64_t r = 0; r < rows; ++r, p += columns, g += columns) {
        double sum = 0.0;
#pragma omp simd reduction(+ : sum)
        for (int64_t c = 0; c < columns; ++c) sum += static_cast<double>(p[c]) * static_cast<double>(g[c]);
        const auto mean = static_cast<float>(sum);
#pragma omp simd
        for (int64_t c = 0; c < columns; ++c) g[c] = scale * p[c] * (g[c] - mean);
    }
}

}  // namespace

void add_tokens(Kernels& table) {
    table.layer_norm = layer_norm;
    table.layer_norm_grad_x = layer_norm_grad_x;
    table.layer_norm_grad_sums = layer_norm_grad_sums;
    table.softmax_rows = softmax_rows;
    table.softmax_rows_grad = softmax_rows_grad;
}

}  // namespace lethe::simd::LETHE_ISA
