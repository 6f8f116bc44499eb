// Every elementwise function of the lists in tensor/elementwise.h, and the in-place and fused passes of the same kind,
// at sizes from the first-level cache to main memory.
#include <benchmark/benchmark.h>

#include "bench/support/ceiling.h"
#include "bench/support/inputs.h"

namespace lethe::bench {
namespace {

// Checks y[i] == expected(i) at a spread of positions.
template <class Expected>
bool check_samples(benchmark::State& state, const char* what, const Tensor& y, Expected&& expected) {
    for (int64_t i = 0; i < 16; ++i) {
        const int64_t at = sample(i, 16, y.numel());
        const auto value = static_cast<double>(expected(at));
        if (!agrees(state, what, static_cast<double>(y.data()[at]), value, 1e-6 * (1 + std::abs(value)))) return false;
    }
    return true;
}

double bytes_of(const Tensor& x, int arrays) { return static_cast<double>(x.numel()) * sizeof(float) * arrays; }

template <class Functor>
void unary_loop(benchmark::State& state, Unary op) {
    const Tensor x = random_values({state.range(0)}, 1);
    const auto run = [&] { return backend(x).unary(op, x); };
    if (!check_samples(state, name(op), run(), [&](int64_t i) { return Functor::f(x.data()[i]); })) return;
    for (auto _ : state) benchmark::DoNotOptimize(run().data());
    report_bytes(state, bytes_of(x, 2));
}

template <class Functor>
void unary_grad_loop(benchmark::State& state, Unary op) {
    const Tensor x = random_values({state.range(0)}, 1), g = random_values(x.shape(), 2), y = backend(x).unary(op, x);
    const auto run = [&] { return backend(x).unary_grad(op, g, x, y); };
    if (!check_samples(state, name(op), run(),
                       [&](int64_t i) { return g.data()[i] * Functor::df(x.data()[i], y.data()[i]); }))
        return;
    for (auto _ : state) benchmark::DoNotOptimize(run().data());
    report_bytes(state, bytes_of(x, 4));
}

template <class Functor>
void binary_loop(benchmark::State& state, Binary op) {
    const Tensor a = random_values({state.range(0)}, 1), b = random_values(a.shape(), 2);
    const auto run = [&] { return backend(a).binary(op, a, b); };
    if (!check_samples(state, name(op), run(), [&](int64_t i) { return Functor::f(a.data()[i], b.data()[i]); })) return;
    for (auto _ : state) benchmark::DoNotOptimize(run().data());
    report_bytes(state, bytes_of(a, 3));
}

void axpy(benchmark::State& state) {
    const Tensor x = random_values({state.range(0)}, 1), before = random_values(x.shape(), 2);
    Tensor y = before.clone();
    backend(x).axpy(0.5f, x, y);
    if (!check_samples(state, "axpy", y, [&](int64_t i) { return before.data()[i] + 0.5f * x.data()[i]; })) return;
    for (auto _ : state) backend(x).axpy(1e-6f, x, y);
    report_bytes(state, bytes_of(x, 3));
}

// The accumulation of |gradient| behind MAS importance.
void abs_accumulate(benchmark::State& state) {
    const Tensor x = random_values({state.range(0)}, 1), before = random_values(x.shape(), 2);
    Tensor y = before.clone();
    backend(x).abs_accumulate(0.5f, x, y);
    const auto expected = [&](int64_t i) { return before.data()[i] + 0.5f * std::abs(x.data()[i]); };
    if (!check_samples(state, "abs_accumulate", y, expected)) return;
    for (auto _ : state) backend(x).abs_accumulate(1e-6f, x, y);
    report_bytes(state, bytes_of(x, 3));
}

// Two gradients meeting at a relu.
void relu_mask_add(benchmark::State& state) {
    const Tensor a = random_values({state.range(0)}, 1), b = random_values(a.shape(), 2),
                 y = random_values(a.shape(), 3);
    const auto run = [&] { return backend(a).relu_mask_add(a, b, y); };
    const auto expected = [&](int64_t i) { return y.data()[i] > 0 ? a.data()[i] + b.data()[i] : 0.0f; };
    if (!check_samples(state, "relu_mask_add", run(), expected)) return;
    for (auto _ : state) benchmark::DoNotOptimize(run().data());
    report_bytes(state, bytes_of(a, 4));
}

void sum(benchmark::State& state) {
    const Tensor x = random_values({state.range(0)}, 1);
    double expected = 0;
    for (const float value : x.values()) expected += static_cast<double>(value);
    if (!agrees(state, "sum", static_cast<double>(backend(x).sum(x).item()), expected, 1e-3)) return;
    for (auto _ : state) benchmark::DoNotOptimize(backend(x).sum(x).data());
    report_bytes(state, bytes_of(x, 1));
}

// L2 norms of images.
void row_norm(benchmark::State& state) {
    const Tensor x = random_values({state.range(0), 3, 32, 32}, 1);
    double squares = 0;
    for (int64_t i = 0; i < 3072; ++i) squares += static_cast<double>(x.data()[i]) * static_cast<double>(x.data()[i]);
    const auto run = [&] { return backend(x).row_norm(x); };
    if (!agrees(state, "row_norm", static_cast<double>(run().data()[0]), std::sqrt(squares), 1e-4)) return;
    for (auto _ : state) benchmark::DoNotOptimize(run().data());
    report_bytes(state, bytes_of(x, 1));
}

// Floats per array: 24 KiB, 512 KiB, 8 MiB, 64 MiB.
void sizes(benchmark::internal::Benchmark* bench) {
    for (const int64_t kib : {24, 512, 8192, 65536}) bench->Arg(kib * 256);
}

// The lists register themselves.
#define LETHE_ENTRY(op, functor)                                                                  \
    benchmark::RegisterBenchmark(#op, unary_loop<elementwise::functor>, Unary::op)->Apply(sizes); \
    benchmark::RegisterBenchmark(#op "_grad", unary_grad_loop<elementwise::functor>, Unary::op)->Apply(sizes);
const bool unary_registered = [] {
    LETHE_UNARY_OPS(LETHE_ENTRY)
    return true;
}();
#undef LETHE_ENTRY
#define LETHE_ENTRY(op, functor) \
    benchmark::RegisterBenchmark(#op, binary_loop<elementwise::functor>, Binary::op)->Apply(sizes);
const bool binary_registered = [] {
    LETHE_BINARY_OPS(LETHE_ENTRY)
    return true;
}();
#undef LETHE_ENTRY

BENCHMARK(axpy)->Apply(sizes);
BENCHMARK(abs_accumulate)->Apply(sizes);
BENCHMARK(relu_mask_add)->Apply(sizes);
BENCHMARK(sum)->Apply(sizes);
BENCHMARK(row_norm)->Arg(16)->Arg(320);

}  // namespace
}  // namespace lethe::bench
