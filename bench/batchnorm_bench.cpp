// Batch normalisation of ResNet activations, forward and backward, with relu and with a residual.
#include <benchmark/benchmark.h>

#include <algorithm>

#include "bench/support/ceiling.h"
#include "bench/support/inputs.h"

namespace lethe::bench {
namespace {

struct Problem {
    // Arguments: images, channels, size, residual.
    explicit Problem(const benchmark::State& state)
        : x(random_values({state.range(0), state.range(1), state.range(2), state.range(2)}, 1)),
          grad_y(random_values(x.shape(), 2)),
          residual(state.range(3) != 0 ? random_values(x.shape(), 3) : Tensor()),
          gamma(random_values({x.dim(1)}, 4)),
          beta(random_values({x.dim(1)}, 5)),
          mean(Tensor::zeros({x.dim(1)})),
          var(Tensor::full({x.dim(1)}, 1.0f)) {
        op.batch_statistics = true;
        op.relu = true;
    }

    Tensor forward() { return backend(x).batchnorm(x, gamma, beta, mean, var, residual, op, saved); }
    double bytes() const { return static_cast<double>(x.numel()) * sizeof(float); }

    Tensor x, grad_y, residual, gamma, beta, mean, var;
    BatchNorm op;
    BatchNormSaved saved;
};

// Mean and inverse standard deviation of one channel in double.
std::pair<double, double> statistics(const Tensor& x, int64_t channel, float eps) {
    const int64_t channels = x.dim(1);
    const double count = static_cast<double>(x.numel() / channels);
    double mean = 0, square = 0;
    for (int64_t i = channel; i < x.numel(); i += channels) mean += static_cast<double>(x.data()[i]) / count;
    for (int64_t i = channel; i < x.numel(); i += channels) {
        const double d = static_cast<double>(x.data()[i]) - mean;
        square += d * d / count;
    }
    return {mean, 1.0 / std::sqrt(square + static_cast<double>(eps))};
}

void batchnorm_forward(benchmark::State& state) {
    Problem p(state);
    const Tensor y = p.forward();
    const int64_t channel = p.x.dim(1) - 1;
    const auto [mean, inv_std] = statistics(p.x, channel, p.op.eps);
    for (int64_t i = channel; i < p.x.numel(); i += p.x.numel() / 7 / p.x.dim(1) * p.x.dim(1)) {
        double expected =
            (static_cast<double>(p.x.data()[i]) - mean) * inv_std * static_cast<double>(p.gamma.data()[channel]) +
            static_cast<double>(p.beta.data()[channel]);
        if (p.residual.defined()) expected += static_cast<double>(p.residual.data()[i]);
        if (!agrees(state, "batchnorm", static_cast<double>(y.data()[i]), std::max(expected, 0.0), 1e-5)) return;
    }
    for (auto _ : state) benchmark::DoNotOptimize(p.forward().data());
    report_bytes(state, p.bytes() * (p.residual.defined() ? 4 : 3));  // x twice, y, the residual
}

void batchnorm_backward(benchmark::State& state) {
    Problem p(state);
    const Tensor y = p.forward();
    const bool residual = p.residual.defined();
    const auto run = [&] {
        return backend(p.x).batchnorm_grad(p.grad_y, y, p.x, p.gamma, p.saved, p.op, true, true, residual);
    };
    const BatchNormGrads grads = run();
    const int64_t channel = p.x.dim(1) - 1;
    const auto [mean, inv_std] = statistics(p.x, channel, p.op.eps);
    double gamma = 0, beta = 0;
    for (int64_t i = channel; i < p.x.numel(); i += p.x.dim(1)) {
        const double g = y.data()[i] > 0 ? static_cast<double>(p.grad_y.data()[i]) : 0.0;
        beta += g;
        gamma += g * (static_cast<double>(p.x.data()[i]) - mean) * inv_std;
    }
    const double tolerance = 1e-6 * std::sqrt(static_cast<double>(p.x.numel())) + 1e-5;
    if (!agrees(state, "grad_beta", static_cast<double>(grads.grad_beta.data()[channel]), beta, tolerance)) return;
    if (!agrees(state, "grad_gamma", static_cast<double>(grads.grad_gamma.data()[channel]), gamma, tolerance)) return;
    for (auto _ : state) benchmark::DoNotOptimize(run().grad_x.data());
    report_bytes(state, p.bytes() * (residual ? 8 : 7));  // grad_y, y and x twice, grad_x, the residual's gradient
}

void shapes(benchmark::internal::Benchmark* bench) {
    bench->ArgNames({"N", "C", "H", "residual"});
    for (const int64_t n : {16, 128})
        for (const int64_t residual : {0, 1})
            bench->Args({n, 16, 32, residual})->Args({n, 32, 16, residual})->Args({n, 64, 8, residual});
    bench->Args({16, 64, 32, 0})->Args({16, 512, 4, 0});
}

BENCHMARK(batchnorm_forward)->Apply(shapes);
BENCHMARK(batchnorm_backward)->Apply(shapes);

}  // namespace
}  // namespace lethe::bench
