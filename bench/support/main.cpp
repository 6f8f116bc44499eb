// Runs the benchmarks on one thread and fails when any of them failed its check.
#include <benchmark/benchmark.h>

#include <iostream>

#include "bench/support/ceiling.h"
#include "tensor/backend.h"
#include "tensor/error.h"
#include "tensor/parallel.h"

namespace lethe::bench {
namespace {

class CheckingReporter : public benchmark::ConsoleReporter {
public:
    void ReportRuns(const std::vector<Run>& runs) override {
        for (const Run& run : runs) failed_ = failed_ || run.error_occurred;
        ConsoleReporter::ReportRuns(runs);
    }
    bool failed() const { return failed_; }

private:
    bool failed_ = false;
};

int run(int argc, char** argv) {
    set_threads(1);
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
    std::cerr << backend(Device::cpu).description() << "\n"
              << "ceilings of one core: " << fma_ceiling() * 1e-9 << " GFLOP/s; copy, GB/s read and written:";
    for (const std::size_t kib : {24, 256, 1024, 4096, 16384, 65536, 262144})
        std::cerr << " " << copy_ceiling(kib * 1024) * 1e-9 << " (" << kib << " KiB)";
    std::cerr << "\n";
    CheckingReporter reporter;
    benchmark::RunSpecifiedBenchmarks(&reporter);
    benchmark::Shutdown();
    return reporter.failed() ? 1 : 0;
}

}  // namespace
}  // namespace lethe::bench

int main(int argc, char** argv) {
    try {
        return lethe::bench::run(argc, argv);
    } catch (const lethe::Error& error) {
        std::cerr << "lethe_bench: " << error.what() << "\n";
        return 1;
    }
}
