// Own matrix products in strict float32: any size, any alignment, the same bits every time.
#pragma once

#include <cstdint>

#include "cuda/target.h"

namespace LETHE_CUDA {

// How the factors of C [M,N] lie in memory, all row-major: nn: A [M,K] B [K,N]. nt: A [M,K] B [N,K]. tn: A [K,M] B
// [K,N].
enum class Factors { nn, nt, tn };

// C = A B + bias [N], bias may be null. Every sum is added up in order of k, whatever M and N are. Throws Error where a
// size does not fit an int.
void sgemm(Factors factors, std::int64_t m, std::int64_t n, std::int64_t k, const float* a, const float* b,
           const float* bias, float* c, cudaStream_t stream);

}  // namespace LETHE_CUDA
