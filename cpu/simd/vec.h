// Sixteen floats as one value, for every instruction set: GCC splits it where registers are shorter.
// Private to simd/: everything here has internal linkage, so that each instruction set keeps its own copy.
#pragma once

#include <stdint.h>

namespace lethe::simd::LETHE_ISA {
namespace {

#define LETHE_INLINE inline __attribute__((always_inline))

constexpr int64_t lanes = 16;
typedef float Vec __attribute__((vector_size(64)));
typedef float LooseVec __attribute__((vector_size(64), aligned(4), may_alias));  // any address
typedef int32_t Mask __attribute__((vector_size(64)));
typedef double Wide __attribute__((vector_size(64)));                        // eight doubles
typedef float Half __attribute__((vector_size(32), aligned(4), may_alias));  // eight floats at any address

// What is at p, to be copied into a Vec. Do not pass it on as const Vec&: that would promise an aligned address.
LETHE_INLINE const LooseVec& at(const float* p) { return *reinterpret_cast<const LooseVec*>(p); }
LETHE_INLINE LooseVec& at(float* p) { return *reinterpret_cast<LooseVec*>(p); }
LETHE_INLINE void set(Vec& v, float value) { v = Vec{} + value; }

// The sum of all lanes in a fixed order.
LETHE_INLINE float total(const Vec& v) {
    float sum = 0.0f;
    for (int step = 0; step < 4; ++step) sum += (v[step] + v[step + 4]) + (v[step + 8] + v[step + 12]);
    return sum;
}
LETHE_INLINE double total(const Wide& v) { return ((v[0] + v[4]) + (v[1] + v[5])) + ((v[2] + v[6]) + (v[3] + v[7])); }

// Eight floats from p as doubles.
LETHE_INLINE void widen(const float* p, Wide& out) {
    out = __builtin_convertvector(*reinterpret_cast<const Half*>(p), Wide);
}

}  // namespace
}  // namespace lethe::simd::LETHE_ISA
