// The forward convolution in five steps, from one thread per output to the tensor-core kernels that are shipped.
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
// Shipped, TF32: the kernel for few channels where the layer has few, else v4.
void conv2d_v5(const ConvGeometry& g, const float* x, const float* w, float* y, cudaStream_t stream);

}  // namespace LETHE_CUDA::labs
