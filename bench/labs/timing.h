// The device with what is timed on it: seconds of a run, and the ceilings that runs are held against.
#pragma once

#include <functional>
#include <memory>

#include "bench/labs/lab.h"
#include "cuda/runtime.h"

namespace LETHE_CUDA::labs {

// The lab's device: a stream of its own, and NVIDIA's libraries on that stream.
struct Bench {
    Bench();  // throws Error where there is no GPU

    void wait() const;  // for everything given to the device

    Backend& device;
    Stream stream;
    std::unique_ptr<VendorLibraries> libraries;  // may be null
};

// Seconds of one run.
struct Timing {
    double median, lower_quartile, upper_quartile;

    double spread() const { return (upper_quartile - lower_quartile) / median; }
};

// Times run(0), run(1), ..., run(sets - 1), run(0), ...: `repeats` samples, after a warm-up as long as one. A sample is
// as many runs as take 10 ms, next to which the 10 us of starting the first and hearing of the end of the last are
// nothing. The clock is the CPU's, because operations of the backend run on a stream of its own.
Timing measure(const Bench& bench, int sets, int repeats, const std::function<void(int)>& run);

// How many sets of `bytes` it takes for a set to have left the second-level cache when its turn comes again.
int sets_beyond_cache(double bytes);

// The most that this GPU does, in bytes or operations per second; 0 where it could not be measured.
struct Ceilings {
    double copy = 0.0;  // read plus written, of a copy within its memory
    double fp32 = 0.0;  // multiplications and additions in registers
    double tf32 = 0.0;  // of a large product by cuBLASLt

    double of(Bound bound) const;
};
Ceilings measure_ceilings(const Bench& bench, int repeats);

}  // namespace LETHE_CUDA::labs
