#include "bench/labs/elementwise.cuh"
#include "bench/labs/elementwise.h"
#include "cuda/map.h"

namespace LETHE_CUDA::labs {
namespace {

unsigned blocks(std::int64_t threads) { return static_cast<unsigned>((threads + block_threads - 1) / block_threads); }

}  // namespace

void relu_mask_add_v1(std::int64_t n, const float* a, const float* b, const float* mask, float* y,
                      cudaStream_t stream) {
    launch<add_kernel>(blocks(n), block_threads, 0, stream, n, a, b, y);
    launch<relu_mask_kernel>(blocks(n), block_threads, 0, stream, n, mask, y);
}

void relu_mask_add_v2(std::int64_t n, const float* a, const float* b, const float* mask, float* y,
                      cudaStream_t stream) {
    launch<relu_mask_add_v2_kernel>(blocks(n), block_threads, 0, stream, n, a, b, mask, y);
}

void relu_mask_add_v3(std::int64_t n, const float* a, const float* b, const float* mask, float* y,
                      cudaStream_t stream) {
    launch<relu_mask_add_v3_kernel>(blocks((n + 3) / 4), block_threads, 0, stream, n, a, b, mask, y);
}

}  // namespace LETHE_CUDA::labs
