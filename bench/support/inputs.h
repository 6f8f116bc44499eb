// Inputs and checks shared by the benchmarks.
#pragma once

#include <benchmark/benchmark.h>

#include <cmath>
#include <string>

#include "tensor/backend.h"
#include "tensor/random.h"

namespace lethe::bench {

// Reproducible values in [-1, 1).
inline Tensor random_values(const Shape& shape, uint64_t item) {
    const Random random(1, Purpose::synthetic);
    Tensor tensor = Tensor::empty(shape);
    float* values = tensor.mutable_data();
    for (int64_t i = 0; i < tensor.numel(); ++i) {
        // A million different values are enough, and quick to make.
        values[i] =
            i < (1 << 20) ? 2.0f * random.uniform(item, static_cast<uint32_t>(i)) - 1.0f : values[i - (1 << 20)];
    }
    return tensor;
}

// Compares one value with its oracle; on a difference the benchmark is reported as failed and false is returned.
inline bool agrees(benchmark::State& state, const char* what, double actual, double expected, double tolerance) {
    if (std::abs(actual - expected) <= tolerance) return true;
    state.SkipWithError(
        (std::string(what) + " is " + std::to_string(actual) + ", expected " + std::to_string(expected)).c_str());
    return false;
}

// Positions at which a benchmark compares with its oracle: a spread of `count` over [0, size), both ends included.
inline int64_t sample(int64_t i, int64_t count, int64_t size) { return count < 2 ? 0 : i * (size - 1) / (count - 1); }

}  // namespace lethe::bench
