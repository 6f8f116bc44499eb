#include "cpu/simd/tables.h"
#include "cpu/simd/vec.h"

namespace lethe::simd::LETHE_ISA {
namespace {

template <bool Squares>
double reduce(const float* x, int64_t n) {
    Wide acc[4] = {};
    int64_t i = 0;
    for (; i + 32 <= n; i += 32)
#pragma GCC unroll 4
        for (int v = 0; v < 4; ++v) {
            Wide wide;
            widen(x + i + 8 * v, wide);
            acc[v] += Squares ? wide * wide : wide;
        }
    double sum = total((acc[0] + acc[1]) + (acc[2] + acc[3]));
    for (; i < n; ++i) {
        const double value = static_cast<double>(x[i]);
        sum += Squares ? value * value : value;
    }
    return sum;
}

}  // namespace

void add_reductions(Kernels& table) {
    table.sum = reduce<false>;
    table.sum_squares = reduce<true>;
}

}  // namespace lethe::simd::LETHE_ISA
