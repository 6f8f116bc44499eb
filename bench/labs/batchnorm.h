// Batch normalisation with the statistics of the batch in four steps: of x [N,H,W,C], seen as a matrix [pixels, C], the
// mean and 1 / sqrt(variance + eps) per channel, and y = gamma inv_std (x - mean) + beta. What each version changes is
// said beside its kernel in bench/labs/batchnorm.cuh. The last version is CudaBackend::batchnorm.
#pragma once

#include <cstdint>

#include "cuda/target.h"

namespace LETHE_CUDA::labs {

struct BatchNormArrays {
    std::int64_t pixels, channels;
    float eps;
    const float *x, *gamma, *beta;
    float *y, *mean, *inv_std;
    float* workspace;
};

// Floats that any version may need as workspace.
std::int64_t batchnorm_workspace(std::int64_t pixels, std::int64_t channels);

void batchnorm_v1(const BatchNormArrays& of, cudaStream_t stream);
void batchnorm_v2(const BatchNormArrays& of, cudaStream_t stream);
void batchnorm_v3(const BatchNormArrays& of, cudaStream_t stream);

}  // namespace LETHE_CUDA::labs
