// Division by a number that is known before a kernel starts.
#pragma once

#include <cstdint>

#include "cuda/device.cuh"

namespace LETHE_CUDA {

// n / d for 0 <= n < 2^31 by a multiplication and a shift (Granlund and Montgomery, 1994): a GPU has no instruction
// for divisions, and convolutions divide for every run of elements that they read.
class Divisor {
public:
    explicit Divisor(int d) : divisor_(static_cast<unsigned>(d)) {
        while ((std::uint64_t{1} << shift_) < divisor_) ++shift_;
        multiplier_ =
            static_cast<unsigned>((std::uint64_t{1} << 32) * ((std::uint64_t{1} << shift_) - divisor_) / divisor_ + 1);
    }

    __device__ __forceinline__ int quotient(int n) const {
        const unsigned u = static_cast<unsigned>(n);
        return static_cast<int>((__umulhi(u, multiplier_) + u) >> shift_);
    }
    // n = quotient * d + remainder
    __device__ __forceinline__ int split(int n, int& remainder) const {
        const int q = quotient(n);
        remainder = n - q * static_cast<int>(divisor_);
        return q;
    }

private:
    unsigned divisor_, multiplier_ = 0, shift_ = 0;
};

}  // namespace LETHE_CUDA
