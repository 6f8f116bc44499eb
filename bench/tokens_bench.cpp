// What vision transformers spend their time on: linear layers over the tokens of a sample, attention, layer norm.
#include <benchmark/benchmark.h>

#include <cmath>

#include "bench/support/ceiling.h"
#include "bench/support/inputs.h"

namespace lethe::bench {
namespace {

// [N,T,F] to O features, as one multiply-add per weight and token.
void linear_rows_forward(benchmark::State& state) {
    const int64_t samples = state.range(0), rows = state.range(1), in = state.range(2), out = state.range(3);
    const Tensor x = random_values({samples, rows, in}, 1), w = random_values({out, in}, 2),
                 b = random_values({out}, 3);
    const auto run = [&] { return backend(x).linear(x, w, b); };
    const Tensor y = run();
    for (int64_t i = 0; i < 8; ++i) {
        const int64_t row = sample(i, 8, samples * rows), o = sample(7 - i, 8, out);
        double expected = static_cast<double>(b.data()[o]);
        for (int64_t f = 0; f < in; ++f)
            expected += static_cast<double>(x.data()[row * in + f]) * static_cast<double>(w.data()[o * in + f]);
        if (!agrees(state, "y", static_cast<double>(y.data()[row * out + o]), expected, 1e-3)) return;
    }
    for (auto _ : state) benchmark::DoNotOptimize(run().data());
    report_flops(state, 2.0 * static_cast<double>(samples * rows * in * out));
}

void layer_norm_forward(benchmark::State& state) {
    const Tensor x = random_values({state.range(0), state.range(1), state.range(2)}, 1);
    const Tensor gamma = random_values({state.range(2)}, 2), beta = random_values({state.range(2)}, 3);
    LayerNormSaved saved;
    const auto run = [&] { return backend(x).layer_norm(x, gamma, beta, 1e-6f, saved); };
    double sum = 0.0, squares = 0.0;
    for (int64_t f = 0; f < x.dim(2); ++f) {
        const auto value = static_cast<double>(x.data()[f]);
        sum += value;
        squares += value * value;
    }
    const double mean = sum / static_cast<double>(x.dim(2));
    const double deviation = std::sqrt(squares / static_cast<double>(x.dim(2)) - mean * mean + 1e-6);
    const double expected =
        (static_cast<double>(x.data()[0]) - mean) / deviation * static_cast<double>(gamma.data()[0]) +
        static_cast<double>(beta.data()[0]);
    if (!agrees(state, "y", static_cast<double>(run().data()[0]), expected, 1e-5)) return;
    for (auto _ : state) benchmark::DoNotOptimize(run().data());
    report_bytes(state, 2.0 * sizeof(float) * static_cast<double>(x.numel()));
}

void attention_forward(benchmark::State& state) {
    const int64_t samples = state.range(0), tokens = state.range(1), features = state.range(2), heads = state.range(3);
    Tensor qkv = random_values({samples, tokens, 3 * features}, 1);
    const auto run = [&] { return backend(qkv).attention(qkv, heads, nullptr); };
    const Tensor y = run();
    double smallest = 1.0, largest = -1.0;  // a result is a mean of values
    for (int64_t t = 0; t < tokens; ++t) {
        const auto value = static_cast<double>(qkv.data()[t * 3 * features + 2 * features]);
        smallest = std::min(smallest, value);
        largest = std::max(largest, value);
    }
    const double middle = (smallest + largest) / 2.0;
    if (!agrees(state, "y", static_cast<double>(y.data()[0]), middle, (largest - smallest) / 2.0 + 1e-6)) return;
    for (auto _ : state) benchmark::DoNotOptimize(run().data());
    report_flops(state, 4.0 * static_cast<double>(samples * tokens * tokens * features));
}

void attention_backward(benchmark::State& state) {
    const int64_t samples = state.range(0), tokens = state.range(1), features = state.range(2), heads = state.range(3);
    const Tensor qkv = random_values({samples, tokens, 3 * features}, 1);
    const Tensor g = random_values({samples, tokens, features}, 2);
    Tensor probabilities;
    backend(qkv).attention(qkv, heads, &probabilities);
    const auto run = [&] { return backend(qkv).attention_grad(g, qkv, heads, probabilities); };
    const Tensor grad = run();
    double actual = 0.0, expected = 0.0;  // probabilities of a query add up to 1: the values' gradients to grad_y's sum
    for (int64_t t = 0; t < tokens; ++t) {
        actual += static_cast<double>(grad.data()[t * 3 * features + 2 * features]);
        expected += static_cast<double>(g.data()[t * features]);
    }
    if (!agrees(state, "sum of gradients", actual, expected, 1e-3)) return;
    for (auto _ : state) benchmark::DoNotOptimize(run().data());
    report_flops(state, 8.0 * static_cast<double>(samples * tokens * tokens * features));
}

// ViT-B/16's, at 224 x 224 pixels.
BENCHMARK(linear_rows_forward)
    ->ArgNames({"N", "T", "in", "out"})
    ->Args({8, 197, 768, 2304})
    ->Args({8, 197, 768, 768})
    ->Args({8, 197, 768, 3072})
    ->Args({8, 197, 3072, 768});
BENCHMARK(layer_norm_forward)->ArgNames({"N", "T", "F"})->Args({8, 197, 768});
BENCHMARK(attention_forward)->ArgNames({"N", "T", "D", "heads"})->Args({8, 197, 768, 12});
BENCHMARK(attention_backward)->ArgNames({"N", "T", "D", "heads"})->Args({8, 197, 768, 12});

}  // namespace
}  // namespace lethe::bench
