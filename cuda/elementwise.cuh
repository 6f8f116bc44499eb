// What map_kernel computes per element: the lists of tensor/elementwise.h and their gradients, and the small updates.
#pragma once

#include "cuda/device.cuh"
#include "tensor/elementwise.h"

namespace LETHE_CUDA {

template <class Op>
struct UnaryMap {
    __device__ float operator()(int64_t, float x) const { return Op::f(x); }
};
template <class Op>
struct UnaryGrad {
    __device__ float operator()(int64_t, float g, float x, float y) const { return g * Op::df(x, y); }
};

template <class Op>
struct BinaryMap {
    __device__ float operator()(int64_t, float a, float b) const { return Op::f(a, b); }
};
template <class Op>
struct BinaryGradA {
    __device__ float operator()(int64_t, float g, float a, float b, float y) const { return g * Op::da(a, b, y); }
};
template <class Op>
struct BinaryGradB {
    __device__ float operator()(int64_t, float g, float a, float b, float y) const { return g * Op::db(a, b, y); }
};

// A change of the storage type is a copy: load and store convert.
struct Copy {
    __device__ float operator()(int64_t, float x) const { return x; }
};
struct Constant {
    float value;
    __device__ float operator()(int64_t) const { return value; }
};
struct Scale {
    float factor;
    __device__ float operator()(int64_t, float x) const { return x * factor; }
};
struct RowScale {
    const float* factor;
    int64_t row;  // elements
    __device__ float operator()(int64_t i, float x) const { return x * factor[i / row]; }
};
struct Axpy {
    float factor;
    __device__ float operator()(int64_t, float x, float y) const { return y + factor * x; }
};
struct AbsAccumulate {
    float factor;
    __device__ float operator()(int64_t, float x, float y) const { return y + factor * fabsf(x); }
};

struct ReluMask {
    __device__ float operator()(int64_t, float a, float y) const { return y > 0.0f ? a : 0.0f; }
};
struct ReluMaskAdd {
    __device__ float operator()(int64_t, float a, float b, float y) const { return y > 0.0f ? a + b : 0.0f; }
};

}  // namespace LETHE_CUDA
