// What one core of this machine can do, measured by the benchmark program itself before it times anything.
#pragma once

#include <benchmark/benchmark.h>

#include <cstddef>

namespace lethe::bench {

// Floating-point operations per second of one core: fused multiply-adds on registers only, in the widest vectors that
// the CPU backend's kernels use.
double fma_ceiling();

// Bytes per second (read plus written) of memcpy where source and destination together take `working_set` bytes.
double copy_ceiling(std::size_t working_set);

// Adds the counters GFLOP/s and roof (the share of fma_ceiling) for `flops` operations per iteration.
void report_flops(benchmark::State& state, double flops);

// Adds the counters GB/s and roof (the share of copy_ceiling) for `bytes` read and written per iteration, all
// different.
void report_bytes(benchmark::State& state, double bytes);

}  // namespace lethe::bench
