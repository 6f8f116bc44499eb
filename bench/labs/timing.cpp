#include "bench/labs/timing.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <utility>
#include <vector>

#include "bench/labs/ceiling.h"
#include "cuda/backend.h"

namespace LETHE_CUDA::labs {
namespace {

// Seconds that `count` runs take, from an idle device to an idle device.
double seconds(const Bench& bench, int count, const std::function<void()>& next) {
    bench.wait();
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < count; ++i) next();
    bench.wait();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// Runs per sample.
int runs_for(double seconds_of_one) {
    constexpr double sample = 10e-3;
    return static_cast<int>(std::clamp(std::ceil(sample / std::max(seconds_of_one, 1e-9)), 1.0, 10000.0));
}

cudaDeviceProp properties() {
    cudaDeviceProp result{};
    check_cuda(cudaGetDeviceProperties(&result, 0), "cudaGetDeviceProperties");
    return result;
}

double copy_ceiling(const Bench& bench, int repeats) {
    constexpr std::int64_t floats = std::int64_t{1} << 26;
    std::array<Tensor, 2> ends = {Tensor::full({floats}, 1.0f, lab_device), Tensor::full({floats}, 1.0f, lab_device)};
    constexpr std::size_t bytes = floats * sizeof(float);
    const Timing timing = measure(bench, 2, repeats, [&](int i) {
        check_cuda(cudaMemcpyAsync(out<float>(ends[i == 0 ? 1 : 0]), in<float>(ends[i == 0 ? 0 : 1]), bytes,
                                   cudaMemcpyDeviceToDevice, bench.stream.get()),
                   "cudaMemcpyAsync");
    });
    return 2.0 * static_cast<double>(bytes) / timing.median;
}

double fp32_ceiling(const Bench& bench, int repeats) {
    constexpr int rounds = 4096;
    const int blocks = 8 * properties().multiProcessorCount;  // as many as fit, 2048 threads per multiprocessor
    Tensor results = Tensor::empty({fma_results(blocks)}, DType::float32, lab_device);
    const Timing timing =
        measure(bench, 1, repeats, [&](int) { fma(blocks, rounds, out<float>(results), bench.stream.get()); });
    return fma_operations(blocks, rounds) / timing.median;
}

double tf32_ceiling(const Bench& bench, int repeats) {
    constexpr std::int64_t n = 8192;
    if (bench.libraries == nullptr) return 0.0;
    const Tensor a = random_values({n, n}, 1).to(lab_device), b = random_values({n, n}, 2).to(lab_device);
    Tensor c = Tensor::empty({n, n}, DType::float32, lab_device);
    const auto multiply = [&] { return bench.libraries->matmul(a, false, b, false, Tensor(), Precision::tf32, c); };
    if (!multiply()) return 0.0;
    const Timing timing = measure(bench, 1, repeats, [&](int) { multiply(); });
    return 2.0 * static_cast<double>(n * n) * static_cast<double>(n) / timing.median;
}

}  // namespace

Bench::Bench()
    : device(backend(lab_device)),
      stream(make_stream()),
      libraries(make_vendor_libraries(stream.get(), device.allocator())) {}

void Bench::wait() const {
    check_cuda(cudaStreamSynchronize(stream.get()), "cudaStreamSynchronize");
    device.synchronize();
}

Timing measure(const Bench& bench, int sets, int repeats, const std::function<void(int)>& run) {
    int turn = 0;
    const auto next = [&] { run(std::exchange(turn, (turn + 1) % sets)); };
    seconds(bench, 1, next);  // the first loads the kernels
    const int runs = runs_for(seconds(bench, 1, next));
    seconds(bench, runs, next);
    std::vector<double> samples;
    for (int i = 0; i < repeats; ++i) samples.push_back(seconds(bench, runs, next) / runs);
    std::sort(samples.begin(), samples.end());
    const auto quantile = [&](double share) {
        return samples[static_cast<std::size_t>(std::lround(share * static_cast<double>(samples.size() - 1)))];
    };
    return {quantile(0.5), quantile(0.25), quantile(0.75)};
}

int sets_beyond_cache(double bytes) {
    constexpr double times = 4.0;
    return static_cast<int>(std::clamp(std::ceil(times * properties().l2CacheSize / bytes) + 1.0, 2.0, 64.0));
}

double Ceilings::of(Bound bound) const {
    switch (bound) {
        case Bound::memory:
            return copy;
        case Bound::fp32:
            return fp32;
        case Bound::tf32:
            return tf32;
    }
    return 0.0;
}

Ceilings measure_ceilings(const Bench& bench, int repeats) {
    return {copy_ceiling(bench, repeats), fp32_ceiling(bench, repeats), tf32_ceiling(bench, repeats)};
}

}  // namespace LETHE_CUDA::labs
