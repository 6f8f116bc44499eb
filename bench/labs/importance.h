// Exact per-sample importance of a convolution's weights in three steps: omega [K,R,S,C] = sum over the images of
// |gradient for the weights from that image alone|. What each version changes is said in bench/labs/importance.cuh.
#pragma once

#include "cuda/conv2d_own.h"

namespace LETHE_CUDA::labs {

// Floats that any version may need as workspace.
std::int64_t importance_workspace(const ConvGeometry& g);

void importance_v1(const ConvGeometry& g, const float* grad_y, const float* x, float* workspace, float* omega,
                   cudaStream_t stream);
void importance_v2(const ConvGeometry& g, const float* grad_y, const float* x, float* workspace, float* omega,
                   cudaStream_t stream);
void importance_v3(const ConvGeometry& g, const float* grad_y, const float* x, float* workspace, float* omega,
                   cudaStream_t stream);  // shipped

}  // namespace LETHE_CUDA::labs
