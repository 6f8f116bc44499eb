// Convolutions between few channels: 3x3, stride 1, padding 1, with 16 channels and filters or, in bfloat16, also
// 32, on tensor cores.
// They are what the ResNets of small images consist of, and what memory alone limits; cuda/conv2d_narrow.cuh says how.
#pragma once

#include "cuda/target.h"
#include "tensor/backend.h"

namespace LETHE_CUDA {

// Activations channels-last in float or Bf16, 16-byte aligned; weights [K,3,3,C] and bias in float32, sums in float32.
// Products are made from bfloat16 for Bf16 (weights are rounded), from TF32 for float. The same bits every time, and
// for an image in any batch. Both functions write their last tensor and return true, or return false, and have done
// nothing, where these shapes, addresses or this precision are not for them.

// y = relu?(conv(x, w) + bias? + residual?); null stands for what is left out.
template <class T>
bool narrow_conv2d(const Shape& shape_of_x, const Shape& shape_of_w, const Conv2d& op, Precision precision, const T* x,
                   const float* w, const float* bias, const T* residual, bool relu, T* y, cudaStream_t stream);

// grad_x = (the gradient for x + added?) * (mask? > 0); added and mask in x's shape.
template <class T>
bool narrow_conv2d_grad_x(const Shape& shape_of_x, const Shape& shape_of_w, const Conv2d& op, Precision precision,
                          const T* grad_y, const float* w, const T* added, const T* mask, T* grad_x,
                          cudaStream_t stream);

}  // namespace LETHE_CUDA
