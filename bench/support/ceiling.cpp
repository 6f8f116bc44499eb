#include "bench/support/ceiling.h"

#include <immintrin.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <ctime>
#include <limits>
#include <vector>

#include "cpu/simd.h"
#include "tensor/tensor.h"

namespace lethe::bench {
namespace {

double cpu_seconds() {
    timespec now{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

// Seconds of one call, the best of several: interruptions only ever add.
template <class Work>
double best_seconds(Work&& work) {
    double best = std::numeric_limits<double>::infinity();
    for (int i = 0; i < 7; ++i) {
        const double start = cpu_seconds();
        work();
        best = std::min(best, cpu_seconds() - start);
    }
    return best;
}

constexpr int chains = 12;  // enough independent sums to hide a latency of four cycles on two units
constexpr int64_t rounds = 2'000'000;

// One function per vector width, compiled for it whatever the rest of the program is compiled for.
#define LETHE_FMA_LOOP(suffix, isa, vector, set1, multiply_add, width)                                       \
    __attribute__((target(isa))) double flops_##suffix() {                                                   \
        vector sums[chains];                                                                                 \
        for (int i = 0; i < chains; ++i) sums[i] = set1(static_cast<float>(i));                              \
        const vector a = set1(0.999f), b = set1(1e-3f);                                                      \
        for (int64_t r = 0; r < rounds; ++r)                                                                 \
            _Pragma("GCC unroll 16") for (int i = 0; i < chains; ++i) sums[i] = multiply_add(sums[i], a, b); \
        for (int i = 0; i < chains; ++i) benchmark::DoNotOptimize(sums[i]);                                  \
        return 2.0 * width * chains * static_cast<double>(rounds);                                           \
    }
LETHE_FMA_LOOP(avx512, "avx512f", __m512, _mm512_set1_ps, _mm512_fmadd_ps, 16)
LETHE_FMA_LOOP(avx2, "avx2,fma", __m256, _mm256_set1_ps, _mm256_fmadd_ps, 8)
#undef LETHE_FMA_LOOP

// The baseline has no fused multiply-add: four floats, a multiplication and an addition.
double flops_baseline() {
    __m128 sums[chains];
    for (int i = 0; i < chains; ++i) sums[i] = _mm_set1_ps(static_cast<float>(i));
    const __m128 a = _mm_set1_ps(0.999f), b = _mm_set1_ps(1e-3f);
    for (int64_t r = 0; r < rounds; ++r)
#pragma GCC unroll 16
        for (int i = 0; i < chains; ++i) sums[i] = _mm_add_ps(_mm_mul_ps(sums[i], a), b);
    for (int i = 0; i < chains; ++i) benchmark::DoNotOptimize(sums[i]);
    return 2.0 * 4 * chains * static_cast<double>(rounds);
}

double measure_fma() {
    const std::string isa = simd::kernels().isa;
    double flops = 0;
    const double seconds = best_seconds([&] {
        flops = isa == "avx512" ? flops_avx512() : isa == "avx2" ? flops_avx2() : flops_baseline();
    });
    return flops / seconds;
}

struct CopyPoint {
    double working_set, rate;
};

CopyPoint measure_copy(std::size_t working_set) {
    const auto half = static_cast<int64_t>(working_set / 2 / sizeof(float));
    const Tensor from = Tensor::full({half}, 1.0f);
    Tensor to = Tensor::full({half}, 2.0f);
    float* target = to.mutable_data();
    const std::size_t bytes = static_cast<std::size_t>(half) * sizeof(float);
    const int repeats = static_cast<int>(std::max<std::size_t>(1, (std::size_t{64} << 20) / working_set));
    const double seconds = best_seconds([&] {
        for (int i = 0; i < repeats; ++i) {
            std::memcpy(target, from.data(), bytes);
            benchmark::ClobberMemory();
        }
    });
    return {static_cast<double>(working_set), 2.0 * static_cast<double>(bytes) * repeats / seconds};
}

const std::vector<CopyPoint>& copy_points() {
    static const std::vector<CopyPoint> points = [] {
        std::vector<CopyPoint> measured;
        for (const std::size_t kib : {24, 256, 1024, 4096, 16384, 65536, 262144})
            measured.push_back(measure_copy(kib * std::size_t{1024}));
        return measured;
    }();
    return points;
}

void rate(benchmark::State& state, const char* name, double amount, double ceiling) {
    using benchmark::Counter;
    const double total = amount * static_cast<double>(state.iterations());
    state.counters[name] = Counter(total * 1e-9, Counter::kIsRate);
    state.counters["roof"] = Counter(total / ceiling, Counter::kIsRate);
}

}  // namespace

double fma_ceiling() {
    static const double ceiling = measure_fma();
    return ceiling;
}

// Between measured sizes the rate is interpolated over the logarithm of the size.
double copy_ceiling(std::size_t working_set) {
    const std::vector<CopyPoint>& points = copy_points();
    const auto size = static_cast<double>(working_set);
    if (size <= points.front().working_set) return points.front().rate;
    for (std::size_t i = 1; i < points.size(); ++i) {
        if (size > points[i].working_set) continue;
        const double share =
            std::log(size / points[i - 1].working_set) / std::log(points[i].working_set / points[i - 1].working_set);
        return points[i - 1].rate + share * (points[i].rate - points[i - 1].rate);
    }
    return points.back().rate;
}

void report_flops(benchmark::State& state, double flops) { rate(state, "GFLOP/s", flops, fma_ceiling()); }

void report_bytes(benchmark::State& state, double bytes) {
    rate(state, "GB/s", bytes, copy_ceiling(static_cast<std::size_t>(bytes)));
}

}  // namespace lethe::bench
