// Optimizer updates over the parameter counts of ResNet-20, ResNet-18 and ResNet-50, with and without the quadratic
// pull towards an anchor.
#include <benchmark/benchmark.h>

#include <cmath>

#include "bench/support/ceiling.h"
#include "bench/support/inputs.h"

namespace lethe::bench {
namespace {

void sgd(benchmark::State& state, bool penalty) {
    const int64_t n = state.range(0);
    const Tensor before = random_values({n}, 1), grad = random_values({n}, 2);
    SgdItem item{before.clone(), grad, Tensor::zeros({n}), {}, 1e-4f};
    if (penalty) item.penalty = {backend(grad).unary(Unary::square, random_values({n}, 3)), random_values({n}, 4)};
    const Sgd op{1e-3f, 0.9f, false, false, 0.5f};
    backend(grad).sgd({&item, 1}, op);
    for (int64_t i = 0; i < n; i += n / 13) {
        const auto theta = static_cast<double>(before.data()[i]);
        double g = static_cast<double>(grad.data()[i]) + 1e-4 * theta;
        if (penalty)
            g += 0.5 * static_cast<double>(item.penalty.weight.data()[i]) *
                 (theta - static_cast<double>(item.penalty.anchor.data()[i]));
        if (!agrees(state, "theta", static_cast<double>(item.param.data()[i]), theta - 1e-3 * g, 1e-6)) return;
    }
    for (auto _ : state) backend(grad).sgd({&item, 1}, op);
    report_bytes(state, static_cast<double>(n) * sizeof(float) * (penalty ? 7 : 5));
}

void adam(benchmark::State& state) {
    const int64_t n = state.range(0);
    const Tensor before = random_values({n}, 1), grad = random_values({n}, 2);
    AdamItem item{before.clone(), grad, Tensor::zeros({n}), Tensor::zeros({n}), {}, 0.0f};
    backend(grad).adam({&item, 1}, {});
    for (int64_t i = 0; i < n; i += n / 13) {  // the first step of Adam moves by lr, but for eps
        const auto g = static_cast<double>(grad.data()[i]);
        const double expected = static_cast<double>(before.data()[i]) - 1e-3 * g / (std::abs(g) + 1e-8);
        if (!agrees(state, "theta", static_cast<double>(item.param.data()[i]), expected, 1e-6)) return;
    }
    Adam op;
    for (auto _ : state) {
        ++op.step;
        backend(grad).adam({&item, 1}, op);
    }
    report_bytes(state, static_cast<double>(n) * sizeof(float) * 7);
}

void parameter_counts(benchmark::internal::Benchmark* bench) { bench->Arg(269'722)->Arg(11'173'962)->Arg(25'557'032); }

BENCHMARK_CAPTURE(sgd, momentum, false)->Apply(parameter_counts);
BENCHMARK_CAPTURE(sgd, momentum_and_penalty, true)->Apply(parameter_counts);
BENCHMARK(adam)->Apply(parameter_counts);

}  // namespace
}  // namespace lethe::bench
