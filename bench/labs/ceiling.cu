#include "bench/labs/ceiling.cuh"
#include "bench/labs/ceiling.h"
#include "cuda/launch.h"

namespace LETHE_CUDA::labs {

void fma(int blocks, int rounds, float* to, cudaStream_t stream) {
    launch<fma_kernel>(static_cast<unsigned>(blocks), fma_threads, 0, stream, rounds, to);
}

}  // namespace LETHE_CUDA::labs
