// NVIDIA's libraries behind the CUDA backend: cuDNN for convolutions, cuBLASLt for matrix products.
#pragma once

#include <memory>
#include <string>

#include "cuda/target.h"
#include "tensor/allocator.h"
#include "tensor/backend.h"

namespace LETHE_CUDA {

// Every function writes its last argument and returns true, or returns false, and has done nothing, where the library
// has no plan for these shapes and this precision; the caller then uses a kernel of its own. Arguments are as in
// tensor/backend.h, and all of one activation type: weights have been cast. Throws Error with the library's text when a
// call fails.
class VendorLibraries {
public:
    virtual ~VendorLibraries() = default;
    virtual std::string description() const = 0;  // names and versions

    // y = relu?(conv(x, w) + bias? + residual?); bias and residual may be undefined.
    virtual bool conv2d(const Tensor& x, const Tensor& w, const Tensor& bias, const Tensor& residual, bool relu,
                        const Conv2d& op, Precision precision, Tensor& y) = 0;
    // grad_x = (the gradient + skip?) * (mask? > 0); skip only with a mask.
    virtual bool conv2d_grad_x(const Tensor& grad_y, const Tensor& w, const Tensor& skip, const Tensor& mask,
                               const Conv2d& op, Precision precision, Tensor& grad_x) = 0;
    virtual bool conv2d_grad_w(const Tensor& grad_y, const Tensor& x, const Conv2d& op, Precision precision,
                               Tensor& grad_w) = 0;
    // c [M,N] = op(a) op(b) + bias [N]?, row-major; op transposes where asked to.
    virtual bool matmul(const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b, const Tensor& bias,
                        Precision precision, Tensor& c) = 0;
    // Convolution plans built so far: none may be added by a step that has run before.
    virtual uint64_t plans_built() const = 0;
};

// Null where this build or this machine has neither library: own kernels do everything then.
std::unique_ptr<VendorLibraries> make_vendor_libraries(cudaStream_t stream, CachingAllocator& workspace);

}  // namespace LETHE_CUDA
