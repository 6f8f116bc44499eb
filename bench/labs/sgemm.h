// The matrix product in four steps, from one thread per output to the kernel that is shipped. C [M,N] = A [M,K] B
// [K,N], all row-major; what each version changes is said beside its kernel in bench/labs/sgemm.cuh.
#pragma once

#include "cuda/target.h"

namespace LETHE_CUDA::labs {

void sgemm_v1(int m, int n, int k, const float* a, const float* b, float* c, cudaStream_t stream);
void sgemm_v2(int m, int n, int k, const float* a, const float* b, float* c, cudaStream_t stream);
void sgemm_v3(int m, int n, int k, const float* a, const float* b, float* c, cudaStream_t stream);
void sgemm_v4(int m, int n, int k, const float* a, const float* b, float* c, cudaStream_t stream);  // shipped

}  // namespace LETHE_CUDA::labs
