// What the labs on convolutions share: a layer's sizes and arrays.
#pragma once

#include "bench/labs/lab.h"
#include "cuda/conv2d_own.h"

namespace LETHE_CUDA::labs {

// Square images and kernels, padded to keep their size at stride 1. As a Size: {N, C, H, K, R, stride}.
struct Layer {
    explicit Layer(const Size& size);

    std::string describe() const;
    double operations() const;  // those with the padding's zeros too, as is customary

    Shape x, w, y;
    Conv2d op;
    ConvGeometry geometry;
};

// The offset in x [N,H,W,C] of what output pixel (p, q) of an image sees through tap (r, s), or -1 in the padding.
std::int64_t seen_at(const ConvGeometry& g, std::int64_t image, std::int64_t p, std::int64_t q, std::int64_t r,
                     std::int64_t s);

}  // namespace LETHE_CUDA::labs
