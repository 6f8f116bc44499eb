// Softmax with cross entropy in three steps: probabilities [N,C] and loss [N] of logits [N,C] and labels [N]. What each
// version changes is said beside its kernel in bench/labs/softmax_cross_entropy.cuh. The last version is
// CudaBackend::softmax_cross_entropy.
#pragma once

#include <cstdint>

#include "cuda/target.h"

namespace LETHE_CUDA::labs {

void softmax_cross_entropy_v1(const float* logits, const std::int64_t* labels, std::int64_t rows, std::int64_t classes,
                              float* probabilities, float* loss, cudaStream_t stream);
void softmax_cross_entropy_v2(const float* logits, const std::int64_t* labels, std::int64_t rows, std::int64_t classes,
                              float* probabilities, float* loss, cudaStream_t stream);
}  // namespace LETHE_CUDA::labs
