// Matrix products by cuBLASLt.
#pragma once

#include <cublasLt.h>

#include <cstdint>
#include <map>
#include <string>

#include "cuda/runtime.h"
#include "tensor/allocator.h"

namespace lethe::cuda {

// Opens cuBLASLt the first time, as the loader finds it (LD_LIBRARY_PATH, ldconfig): a program built with it also
// starts where there is none. Empty when it is there, else one sentence that says what is missing.
const std::string& cublas_problem();

// C [M,N] = op(A) op(B) + bias [N]?, all row-major float32.
struct MatmulKey {
    int64_t m = 0, n = 0, k = 0;
    bool transpose_a = false, transpose_b = false;
    bool bias = false;
    bool tf32 = false;  // products of 10-bit mantissas on tensor cores; else strict float32

    auto operator<=>(const MatmulKey&) const = default;
};

// One algorithm per key, the first that cuBLASLt's heuristics name, chosen when the key is first seen and kept. Sums
// split over blocks are added in a fixed order. Not thread-safe.
class Matmul {
public:
    Matmul();  // throws Error with cublas_problem(), or with the library's text
    ~Matmul();
    Matmul(const Matmul&) = delete;
    Matmul& operator=(const Matmul&) = delete;

    // False, and nothing done, where there is no algorithm for these sizes or an address is not 16-byte aligned.
    bool run(const MatmulKey& key, const float* a, const float* b, const float* bias, float* c,
             CachingAllocator& workspace, cudaStream_t stream);

    static std::string version();

private:
    struct Plan;
    Plan& plan(const MatmulKey& key);

    cublasLtHandle_t handle_ = nullptr;
    std::map<MatmulKey, Plan> plans_;
};

}  // namespace lethe::cuda
