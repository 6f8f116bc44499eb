// Own convolutions, for where there is no cuDNN: activations channels-last [N,H,W,C] in float or Bf16, weights
// [K,R,S,C/groups] and their gradients in float32, sums in float32. The same bits every time, and for an image in any
// batch.
#pragma once

#include <cstdint>

#include "cuda/target.h"
#include "tensor/backend.h"

namespace LETHE_CUDA {

// y [N,P,Q,K] = x [N,H,W,C] * w [K,R,S,C/groups].
struct ConvGeometry {
    int images, channels, height, width;  // N, C, H, W
    int filters, rows, columns;           // K, R, S
    int out_height, out_width;            // P, Q
    int stride, pad, groups;
};

// Throws Error where a size is more than the kernels can count.
ConvGeometry own_conv2d_geometry(const Shape& x, const Shape& w, const Conv2d& op);

// How products are made: for Bf16 from bfloat16 (weights are rounded), on tensor cores; for float according to
// `precision`, bf16 meaning tf32 here.

// y = relu?(conv(x, w) + bias [K] + residual); bias and residual may be null.
template <class T>
void own_conv2d(const ConvGeometry& g, Precision precision, const T* x, const float* w, const float* bias,
                const T* residual, bool relu, T* y, cudaStream_t stream);

// grad_x = (the gradient for x + added) * (mask > 0); added and mask, in x's shape, may be null.
template <class T>
void own_conv2d_grad_x(const ConvGeometry& g, Precision precision, const T* grad_y, const float* w, const T* added,
                       const T* mask, T* grad_x, cudaStream_t stream);

// The gradient for the weights, and the sum over the images of the absolute value of each image's. `workspace` has room
// for the partial sums: that many floats; it may be null where none are needed.
std::int64_t own_conv2d_grad_w_workspace(const ConvGeometry& g);
std::int64_t own_conv2d_grad_w_abs_workspace(const ConvGeometry& g);
template <class T>
void own_conv2d_grad_w(const ConvGeometry& g, Precision precision, const T* grad_y, const T* x, float* workspace,
                       float* grad_w, cudaStream_t stream);
template <class T>
void own_conv2d_grad_w_abs(const ConvGeometry& g, Precision precision, const T* grad_y, const T* x, float* workspace,
                           float* grad_w_abs, cudaStream_t stream);

}  // namespace LETHE_CUDA
