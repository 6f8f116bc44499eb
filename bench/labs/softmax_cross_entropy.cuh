// The kernels of the softmax lab. Each logit is read and each probability written, 8 bytes per class; a row is needed
// three times (for its maximum, its sum and its probabilities), which the first-level cache can serve. The question is
// how many threads a row deserves: a batch has rows of 10 classes, or of 1000.
#pragma once

#include <cmath>

#include "cuda/device.cuh"

namespace LETHE_CUDA::labs {

// v1: one thread per row, as one would write it for a CPU. The 32 threads of a warp read addresses 4 C bytes apart, 32
// pieces of 32 bytes for 128 bytes. The rows of a block are 256 x 4 C bytes: for 1000 classes far more than the
// first-level cache, so each of the three times comes from the second level, or from memory. For 10 classes they fit,
// and it is not bad.
__global__ void softmax_v1_kernel(const float* logits, const std::int64_t* labels, std::int64_t rows,
                                  std::int64_t classes, float* probabilities, float* loss) {
    const std::int64_t row = grid_first();
    if (row >= rows) return;
    const float* z = logits + row * classes;
    float top = z[0], sum = 0.0f;
    for (std::int64_t c = 1; c < classes; ++c) top = fmaxf(top, z[c]);
    for (std::int64_t c = 0; c < classes; ++c) sum += expf(z[c] - top);
    for (std::int64_t c = 0; c < classes; ++c) probabilities[row * classes + c] = expf(z[c] - top) / sum;
    loss[row] = logf(sum) - (z[labels[row]] - top);
}

// v2: one block per row. Threads read neighbouring classes, and a row of 4 KB stays in the cache for the second and
// third time: 8 bytes per class from memory. But maximum and sum meet in shared memory, in eight rounds each with a
// barrier, and in 7 of 8 the threads mostly wait: for 1000 classes that takes as long as the memory does. For 10
// classes 246 of the 256 threads have nothing to do, and v1 is better.
constexpr int v2_threads = 256;

template <class Join>
__device__ float join_in_shared_memory(float value, const Join& join) {
    __shared__ float values[v2_threads];
    values[threadIdx.x] = value;
    for (unsigned half = v2_threads / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half) values[threadIdx.x] = join(values[threadIdx.x], values[threadIdx.x + half]);
    }
    __syncthreads();
    const float result = values[0];
    __syncthreads();  // the next call writes again
    return result;
}

__global__ void softmax_v2_kernel(const float* logits, const std::int64_t* labels, std::int64_t classes,
                                  float* probabilities, float* loss) {
    const std::int64_t row = blockIdx.x;
    const float* z = logits + row * classes;
    float top = -INFINITY, sum = 0.0f;
    for (std::int64_t c = threadIdx.x; c < classes; c += v2_threads) top = fmaxf(top, z[c]);
    top = join_in_shared_memory(top, [](float a, float b) { return fmaxf(a, b); });
    for (std::int64_t c = threadIdx.x; c < classes; c += v2_threads) sum += expf(z[c] - top);
    sum = join_in_shared_memory(sum, [](float a, float b) { return a + b; });
    for (std::int64_t c = threadIdx.x; c < classes; c += v2_threads)
        probabilities[row * classes + c] = expf(z[c] - top) / sum;
    if (threadIdx.x == 0) loss[row] = logf(sum) - (z[labels[row]] - top);
}

// v3 is shipped: CudaBackend::softmax_cross_entropy, see cuda/softmax_cross_entropy.cuh, which asks how long a row is.
// Up to 32 classes a thread has a row, as in v1, but a block reads and writes its 128 rows as one piece, through shared
// memory. Up to 1024 a warp has a row, each logit is read once and stays in a register, and all loads are on their way
// before the first is used; lanes exchange registers, five shuffles for a maximum or a sum, without a barrier. The
// first shipped version gave every row a warp and read it three times: an H100 measured 51 % of copy speed for 1000
// classes and 8 % for 10, where it was slower than v1, since a warp's 200 instructions are many for 40 bytes. The sum
// is in double, for what the loss of a confident prediction needs.

}  // namespace LETHE_CUDA::labs
