#include "bench/labs/sgemm.cuh"
#include "bench/labs/sgemm.h"
#include "cuda/gemm.h"
#include "cuda/launch.h"

namespace LETHE_CUDA::labs {
namespace {

unsigned ceil_div(int a, int b) { return static_cast<unsigned>((a + b - 1) / b); }

}  // namespace

void sgemm_v1(int m, int n, int k, const float* a, const float* b, float* c, cudaStream_t stream) {
    constexpr int across = 32, down = 8;
    launch<sgemm_v1_kernel>(dim3(ceil_div(n, across), ceil_div(m, down)), dim3(across, down), 0, stream, m, n, k, a, b,
                            c);
}

void sgemm_v2(int m, int n, int k, const float* a, const float* b, float* c, cudaStream_t stream) {
    launch<sgemm_v2_kernel>(dim3(ceil_div(n, v2_tile), ceil_div(m, v2_tile)), dim3(v2_tile, v2_tile), 0, stream, m, n,
                            k, a, b, c);
}

void sgemm_v3(int m, int n, int k, const float* a, const float* b, float* c, cudaStream_t stream) {
    launch<sgemm_v3_kernel>(dim3(ceil_div(n, v3_tile), ceil_div(m, v3_tile)), v3_side * v3_side, 0, stream, m, n, k, a,
                            b, c);
}

void sgemm_v4(int m, int n, int k, const float* a, const float* b, float* c, cudaStream_t stream) {
    sgemm(Factors::nn, m, n, k, a, b, nullptr, c, stream);
}

}  // namespace LETHE_CUDA::labs
