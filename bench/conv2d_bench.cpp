// The convolutions of CIFAR and ImageNet ResNets: forward, fused, and both gradients. Operations are counted as usual,
// products with the zero padding included; kernels that skip those can exceed a roof of 1.
#include <benchmark/benchmark.h>

#include <algorithm>

#include "bench/support/ceiling.h"
#include "bench/support/inputs.h"

namespace lethe::bench {
namespace {

constexpr int64_t samples = 64;

struct Problem {
    // Arguments: images, channels, size, filters, kernel, stride.
    explicit Problem(const benchmark::State& state)
        : op{state.range(5), state.range(4) / 2},
          x(random_values({state.range(0), state.range(1), state.range(2), state.range(2)}, 1)),
          w(random_values({state.range(3), state.range(1), state.range(4), state.range(4)}, 2)),
          bias(random_values({state.range(3)}, 3)),
          grad_y(random_values(op.output_shape(x.shape(), w.shape()), 4)),
          residual(random_values(grad_y.shape(), 5)) {}

    double flops() const { return 2.0 * static_cast<double>(grad_y.numel() * w.numel() / w.dim(0)); }
    // For rounding in a sum of `count` products of factors below 1: each addition may round at the size of the sum.
    static double tolerance(int64_t count) { return 1e-7 * static_cast<double>(count) + 1e-5; }

    Conv2d op;
    Tensor x, w, bias, grad_y, residual;
};

double value(const Tensor& t, int64_t n, int64_t c, int64_t h, int64_t w) {
    return static_cast<double>(t.data()[((n * t.dim(2) + h) * t.dim(3) + w) * t.dim(1) + c]);
}

// Calls visit(n, c, h, w) at a spread of positions of `shape`.
template <class Visit>
bool at_samples(const Shape& shape, Visit&& visit) {
    for (int64_t i = 0; i < samples; ++i) {
        const int64_t at = sample(i, samples, shape.numel()), pixel = at / shape[1];
        if (!visit(pixel / (shape[2] * shape[3]), at % shape[1], pixel / shape[3] % shape[2], pixel % shape[3]))
            return false;
    }
    return true;
}

bool inside(int64_t h, int64_t w, const Shape& x) { return h >= 0 && h < x[2] && w >= 0 && w < x[3]; }

double forward_at(const Problem& p, int64_t n, int64_t k, int64_t row, int64_t column) {
    double sum = 0;
    for (int64_t r = 0; r < p.w.dim(2); ++r)
        for (int64_t s = 0; s < p.w.dim(3); ++s) {
            const int64_t h = row * p.op.stride + r - p.op.pad, v = column * p.op.stride + s - p.op.pad;
            if (!inside(h, v, p.x.shape())) continue;
            for (int64_t c = 0; c < p.x.dim(1); ++c) sum += value(p.x, n, c, h, v) * value(p.w, k, c, r, s);
        }
    return sum;
}

double grad_x_at(const Problem& p, int64_t n, int64_t c, int64_t h, int64_t v) {
    double sum = 0;
    for (int64_t r = 0; r < p.w.dim(2); ++r)
        for (int64_t s = 0; s < p.w.dim(3); ++s) {
            const int64_t row = h + p.op.pad - r, column = v + p.op.pad - s, stride = p.op.stride;
            if (row % stride != 0 || column % stride != 0) continue;
            if (!inside(row / stride, column / stride, p.grad_y.shape())) continue;
            for (int64_t k = 0; k < p.w.dim(0); ++k)
                sum += value(p.grad_y, n, k, row / stride, column / stride) * value(p.w, k, c, r, s);
        }
    return sum;
}

double grad_w_at(const Problem& p, int64_t k, int64_t c, int64_t r, int64_t s) {
    double sum = 0;
    for (int64_t n = 0; n < p.x.dim(0); ++n)
        for (int64_t row = 0; row < p.grad_y.dim(2); ++row)
            for (int64_t column = 0; column < p.grad_y.dim(3); ++column) {
                const int64_t h = row * p.op.stride + r - p.op.pad, v = column * p.op.stride + s - p.op.pad;
                if (inside(h, v, p.x.shape())) sum += value(p.grad_y, n, k, row, column) * value(p.x, n, c, h, v);
            }
    return sum;
}

template <class Run>
void time(benchmark::State& state, const Problem& p, Run&& run) {
    for (auto _ : state) benchmark::DoNotOptimize(run().data());
    report_flops(state, p.flops());
}

void conv2d_forward(benchmark::State& state) {
    const Problem p(state);
    const auto run = [&] { return backend(p.x).conv2d(p.x, p.w, p.op); };
    const Tensor y = run();
    const double tolerance = Problem::tolerance(p.w.numel() / p.w.dim(0));
    if (!at_samples(y.shape(), [&](auto n, auto k, auto h, auto w) {
            return agrees(state, "conv2d", value(y, n, k, h, w), forward_at(p, n, k, h, w), tolerance);
        }))
        return;
    time(state, p, run);
}

void conv2d_bias_residual_relu(benchmark::State& state) {
    const Problem p(state);
    const auto run = [&] { return backend(p.x).conv2d_fused(p.x, p.w, p.bias, p.residual, true, p.op); };
    const Tensor y = run();
    const double tolerance = Problem::tolerance(p.w.numel() / p.w.dim(0));
    if (!at_samples(y.shape(), [&](auto n, auto k, auto h, auto w) {
            const double sum =
                forward_at(p, n, k, h, w) + static_cast<double>(p.bias.data()[k]) + value(p.residual, n, k, h, w);
            return agrees(state, "conv2d_fused", value(y, n, k, h, w), std::max(sum, 0.0), tolerance);
        }))
        return;
    time(state, p, run);
}

void conv2d_grad_x(benchmark::State& state) {
    const Problem p(state);
    const auto run = [&] { return backend(p.x).conv2d_grad_x(p.grad_y, p.w, p.x.shape(), p.op); };
    const Tensor grad = run();
    const double tolerance = Problem::tolerance(p.w.numel() / p.w.dim(1));
    if (!at_samples(grad.shape(), [&](auto n, auto c, auto h, auto w) {
            return agrees(state, "conv2d_grad_x", value(grad, n, c, h, w), grad_x_at(p, n, c, h, w), tolerance);
        }))
        return;
    time(state, p, run);
}

void conv2d_grad_w(benchmark::State& state) {
    const Problem p(state);
    const auto run = [&] { return backend(p.x).conv2d_grad_w(p.grad_y, p.x, p.w.shape(), p.op); };
    const Tensor grad = run();
    const double tolerance = Problem::tolerance(p.grad_y.numel() / p.grad_y.dim(1));
    if (!at_samples(grad.shape(), [&](auto k, auto c, auto r, auto s) {
            return agrees(state, "conv2d_grad_w", value(grad, k, c, r, s), grad_w_at(p, k, c, r, s), tolerance);
        }))
        return;
    time(state, p, run);
}

void shapes(benchmark::internal::Benchmark* bench) {
    bench->ArgNames({"N", "C", "H", "K", "R", "stride"});
    // ResNet-20 on CIFAR.
    for (const int64_t n : {1, 16, 128}) {
        bench->Args({n, 3, 32, 16, 3, 1})->Args({n, 16, 32, 16, 3, 1})->Args({n, 16, 32, 32, 3, 2});
        bench->Args({n, 32, 16, 32, 3, 1})->Args({n, 32, 16, 64, 3, 2})->Args({n, 64, 8, 64, 3, 1});
    }
    // ResNet-18 on CIFAR.
    bench->Args({16, 64, 32, 64, 3, 1})->Args({16, 128, 16, 128, 3, 1})->Args({16, 256, 8, 256, 3, 1});
    bench->Args({16, 512, 4, 512, 3, 1})->Args({16, 64, 32, 128, 1, 2})->Args({16, 64, 32, 128, 3, 2});
    bench->Args({16, 256, 8, 512, 3, 2})->Args({16, 512, 2, 512, 3, 1});
    // ImageNet: stem, stages, a bottleneck's 1x1.
    bench->Args({1, 3, 224, 64, 7, 2})->Args({1, 64, 56, 64, 3, 1})->Args({1, 128, 28, 128, 3, 1});
    bench->Args({1, 256, 14, 256, 3, 1})->Args({1, 512, 7, 512, 3, 1})->Args({1, 64, 56, 256, 1, 1});
    bench->Args({1, 256, 56, 64, 1, 1})->Args({1, 512, 7, 2048, 1, 1})->Args({1, 1024, 14, 2048, 1, 2});
}

BENCHMARK(conv2d_forward)->Apply(shapes);
BENCHMARK(conv2d_bias_residual_relu)->Apply(shapes);
BENCHMARK(conv2d_grad_x)->Apply(shapes);
BENCHMARK(conv2d_grad_w)->Apply(shapes);

}  // namespace
}  // namespace lethe::bench
