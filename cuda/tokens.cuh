// The tokens of a Vision Transformer: see Backend::tokens.
#pragma once

#include "cuda/map.cuh"

namespace LETHE_CUDA {

// Element i of y [N,1+P,D] for patches [N,P,D] in memory; `row` is (1+P) D.
template <class T>
struct Tokens {
    const T* patches;
    const float *class_token, *position;
    int64_t row, features;

    __device__ float operator()(int64_t i) const {
        const int64_t image = i / row, at = i - image * row;
        const float value = at < features ? class_token[at] : load(patches + image * (row - features) + at - features);
        return value + position[at];
    }
};

// Element i of the gradient for patches.
struct TokensGrad {
    const float* grad_y;
    int64_t row, features;

    __device__ float operator()(int64_t i) const {
        const int64_t image = i / (row - features);
        return grad_y[i + (image + 1) * features];
    }
};

}  // namespace LETHE_CUDA
