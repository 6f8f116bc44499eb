// Softmax with cross-entropy, forward and backward.
#include <benchmark/benchmark.h>

#include "bench/support/ceiling.h"
#include "bench/support/inputs.h"

namespace lethe::bench {
namespace {

struct Problem {
    explicit Problem(const benchmark::State& state)
        : logits(random_values({state.range(0), state.range(1)}, 1)),
          labels(
              Tensor::from_int64({state.range(0)}, std::vector<int64_t>(static_cast<std::size_t>(state.range(0)), 1))),
          grad_loss(Tensor::full({state.range(0)}, 1.0f)) {}
    double bytes() const { return static_cast<double>(logits.numel()) * sizeof(float); }

    Tensor logits, labels, grad_loss;
};

void softmax_cross_entropy_forward(benchmark::State& state) {
    const Problem p(state);
    Tensor probabilities;
    const auto run = [&] { return backend(p.logits).softmax_cross_entropy(p.logits, p.labels, probabilities); };
    double sum = 0;
    for (int64_t c = 0; c < p.logits.dim(1); ++c) sum += std::exp(static_cast<double>(p.logits.data()[c]));
    const double expected = std::log(sum) - static_cast<double>(p.logits.data()[1]);
    if (!agrees(state, "loss", static_cast<double>(run().data()[0]), expected, 1e-5)) return;
    for (auto _ : state) benchmark::DoNotOptimize(run().data());
    report_bytes(state, 2 * p.bytes());
}

void softmax_cross_entropy_backward(benchmark::State& state) {
    const Problem p(state);
    Tensor probabilities;
    backend(p.logits).softmax_cross_entropy(p.logits, p.labels, probabilities);
    const auto run = [&] { return backend(p.logits).softmax_cross_entropy_grad(p.grad_loss, probabilities, p.labels); };
    const Tensor grad = run();
    double row = 0;  // a row of the gradient sums to zero
    for (int64_t c = 0; c < grad.dim(1); ++c) row += static_cast<double>(grad.data()[c]);
    if (!agrees(state, "sum of a row", row, 0.0, 1e-5)) return;
    if (!agrees(state, "grad", static_cast<double>(grad.data()[1]), static_cast<double>(probabilities.data()[1]) - 1.0,
                1e-6))
        return;
    for (auto _ : state) benchmark::DoNotOptimize(run().data());
    report_bytes(state, 2 * p.bytes());
}

void shapes(benchmark::internal::Benchmark* bench) {
    bench->ArgNames({"N", "classes"})->Args({128, 10})->Args({1024, 100})->Args({128, 1000});
}

BENCHMARK(softmax_cross_entropy_forward)->Apply(shapes);
BENCHMARK(softmax_cross_entropy_backward)->Apply(shapes);

}  // namespace
}  // namespace lethe::bench
