// Matrix products on tensor cores, by one warp: 16 x 8 float32 sums += A [16, depth] * B [depth, 8].
//
// The operands come as 32-bit words: one TF32 number, or two bfloat16 numbers that follow each other in depth, the
// first in the lower half. A product is 8 words deep. Seen so, m16n8k8 for TF32 and m16n8k16 for bfloat16 deal the
// words out alike. Lane L holds, with g = L / 4 and t = L % 4,
//
//     a[0] = A[g][t]      a[1] = A[g + 8][t]      a[2] = A[g][t + 4]      a[3] = A[g + 8][t + 4]     (columns in words)
//     b[0] = B[t][g]      b[1] = B[t + 4][g]                                                         (rows in words)
//     sums[0], sums[1] = D[g][2t], D[g][2t + 1]      sums[2], sums[3] = D[g + 8][2t], D[g + 8][2t + 1]
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "cuda/device.cuh"

namespace LETHE_CUDA {

// Ten bits of mantissa, float32's exponent: rounded to nearest, ties away from zero.
struct Tf32 {
    static constexpr int per_word = 1;

    static __device__ __forceinline__ std::uint32_t word(const float* values) {
        std::uint32_t bits;
#ifdef LETHE_EMULATED
        std::memcpy(&bits, values, sizeof(bits));
        if (!std::isnan(*values)) bits += 0x1000u;  // a carry out of NaN's mantissa would make it zero
        bits &= ~0x1fffu;
#else
        asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(*values));
#endif
        return bits;
    }

#ifdef LETHE_EMULATED
    static float value(std::uint32_t word, int /*i*/) {
        float result;
        std::memcpy(&result, &word, sizeof(result));
        return result;
    }
#else
    static __device__ __forceinline__ void mma(float* sums, const std::uint32_t* a, const std::uint32_t* b) {
        asm volatile(
            "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 "
            "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
            : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
            : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
    }
#endif
};

// Two bfloat16 numbers, rounded to nearest even.
struct Bf16Pair {
    static constexpr int per_word = 2;

    static __device__ __forceinline__ std::uint32_t word(const float* values) {
        std::uint32_t bits;
#ifdef LETHE_EMULATED
        Bf16 pair[2];
        store(pair, values[0]);
        store(pair + 1, values[1]);
        std::memcpy(&bits, pair, sizeof(bits));
#else
        asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(bits) : "f"(values[1]), "f"(values[0]));  // the upper half first
#endif
        return bits;
    }

#ifdef LETHE_EMULATED
    static float value(std::uint32_t word, int i) {
        Bf16 pair[2];
        std::memcpy(pair, &word, sizeof(word));
        return load(pair + i);
    }
#else
    static __device__ __forceinline__ void mma(float* sums, const std::uint32_t* a, const std::uint32_t* b) {
        asm volatile(
            "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
            "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
            : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
            : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
    }
#endif
};

#ifdef LETHE_EMULATED

// All lanes lay their words down as plain matrices, then each adds up its own sums from them.
template <class Number, int down, int across>
void warp_mma(const std::uint32_t (&a)[down][4], const std::uint32_t (&b)[across][2],
              float (&sums)[down * across * 4]) {
    constexpr int most_warps = 8, words = 8, depth = words * Number::per_word;
    __shared__ float a_rows[most_warps][down * 16][depth], b_columns[most_warps][across * 8][depth];
    const int own = warp(), g = lane() / 4, t = lane() % 4;
    for (int e = 0; e < Number::per_word; ++e) {
        for (int i = 0; i < down * 4; ++i)
            a_rows[own][i / 4 * 16 + g + 8 * (i % 2)][(t + 4 * (i % 4 / 2)) * Number::per_word + e] =
                Number::value(a[i / 4][i % 4], e);
        for (int j = 0; j < across * 2; ++j)
            b_columns[own][j / 2 * 8 + g][(t + 4 * (j % 2)) * Number::per_word + e] = Number::value(b[j / 2][j % 2], e);
    }
    __syncwarp();
    for (int i = 0; i < down * across * 4; ++i) {
        const float* row = a_rows[own][i / 4 / across * 16 + g + 8 * (i % 4 / 2)];
        const float* column = b_columns[own][i / 4 % across * 8 + 2 * t + i % 2];
        for (int k = 0; k < depth; ++k) sums[i] += row[k] * column[k];
    }
    __syncwarp();
}

#else

// A grid of down x across such products at once: sums[(i * across + j) * 4 ...] += a[i] * b[j].
template <class Number, int down, int across>
__device__ __forceinline__ void warp_mma(const std::uint32_t (&a)[down][4], const std::uint32_t (&b)[across][2],
                                         float (&sums)[down * across * 4]) {
    for (int i = 0; i < down; ++i)
        for (int j = 0; j < across; ++j) Number::mma(sums + (i * across + j) * 4, a[i], b[j]);
}

#endif

}  // namespace LETHE_CUDA
