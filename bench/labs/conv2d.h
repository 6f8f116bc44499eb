// The forward convolution in four steps, from one thread per output to the tensor-core kernel that is shipped.
// y [N,P,Q,K] = x [N,H,W,C] * w [K,R,S,C]; what each version changes is said beside its kernel in
// bench/labs/conv2d.cuh.
#pragma once

#include "cuda/conv2d_own.h"

namespace LETHE_CUDA::labs {

void conv2d_v1(const ConvGeometry& g, const float* x, const float* w, float* y, cudaStream_t stream);
void conv2d_v2(const ConvGeometry& g, const float* x, const float* w, float* y, cudaStream_t stream);
void conv2d_v3(const ConvGeometry& g, const float* x, const float* w, float* y,
               cudaStream_t stream);  // shipped, strict
void conv2d_v4(const ConvGeometry& g, const float* x, const float* w, float* y, cudaStream_t stream);  // shipped, TF32

}  // namespace LETHE_CUDA::labs
