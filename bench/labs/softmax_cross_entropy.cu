#include "bench/labs/softmax_cross_entropy.cuh"
#include "bench/labs/softmax_cross_entropy.h"
#include "cuda/launch.h"

namespace LETHE_CUDA::labs {
namespace {

unsigned ceil_div(std::int64_t a, std::int64_t b) { return static_cast<unsigned>((a + b - 1) / b); }

}  // namespace

void softmax_cross_entropy_v1(const float* logits, const std::int64_t* labels, std::int64_t rows, std::int64_t classes,
                              float* probabilities, float* loss, cudaStream_t stream) {
    constexpr int threads = 256;
    launch<softmax_v1_kernel>(ceil_div(rows, threads), threads, 0, stream, logits, labels, rows, classes, probabilities,
                              loss);
}

void softmax_cross_entropy_v2(const float* logits, const std::int64_t* labels, std::int64_t rows, std::int64_t classes,
                              float* probabilities, float* loss, cudaStream_t stream) {
    launch<softmax_v2_kernel>(static_cast<unsigned>(rows), v2_threads, 0, stream, logits, labels, classes,
                              probabilities, loss);
}

}  // namespace LETHE_CUDA::labs
