// An elementwise operation in four steps: y = (a + b) * (mask > 0), where two gradients meet at a relu. What each
// version changes is said beside its kernel in bench/labs/elementwise.cuh. The last version is
// CudaBackend::relu_mask_add.
#pragma once

#include <cstdint>

#include "cuda/target.h"

namespace LETHE_CUDA::labs {

void relu_mask_add_v1(std::int64_t n, const float* a, const float* b, const float* mask, float* y, cudaStream_t stream);
void relu_mask_add_v2(std::int64_t n, const float* a, const float* b, const float* mask, float* y, cudaStream_t stream);
void relu_mask_add_v3(std::int64_t n, const float* a, const float* b, const float* mask, float* y, cudaStream_t stream);

}  // namespace LETHE_CUDA::labs
