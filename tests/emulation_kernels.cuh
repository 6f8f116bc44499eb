// Kernels for the tests of the emulator: small ones that use one feature each, and planted bugs.
#pragma once

#include "cuda/device.cuh"
#include "cuda/launch.h"

namespace LETHE_CUDA {

// Right kernels.

__global__ void indices_kernel(uint3* blocks, uint3* threads, int* shapes) {
    const unsigned block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
    const unsigned thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
    const unsigned i = block * blockDim.x * blockDim.y * blockDim.z + thread;
    blocks[i] = blockIdx;
    threads[i] = threadIdx;
    shapes[i] = static_cast<int>(gridDim.x * 100000 + gridDim.y * 10000 + gridDim.z * 1000 + blockDim.x * 100 +
                                 blockDim.y * 10 + blockDim.z);
}

// The inclusive scan of each block's values, in static shared memory.
__global__ void scan_kernel(const int* x, int* y) {
    __shared__ int sums[256];
    const unsigned t = threadIdx.x, i = blockIdx.x * blockDim.x + t;
    sums[t] = x[i];
    __syncthreads();
    for (unsigned offset = 1; offset < blockDim.x; offset *= 2) {
        const int below = t >= offset ? sums[t - offset] : 0;
        __syncthreads();
        sums[t] += below;
        __syncthreads();
    }
    y[i] = sums[t];
}

// Reverses each block's values through dynamic shared memory.
__global__ void reverse_kernel(const double* x, double* y) {
    double* values = dyn_shared<double>();
    const unsigned t = threadIdx.x, first = blockIdx.x * blockDim.x;
    values[t] = x[first + t];
    __syncthreads();
    y[first + t] = values[blockDim.x - 1 - t];
}

enum class Shuffle { index, exclusive_or, up, down };

__global__ void shuffle_kernel(Shuffle kind, const float* x, float* y, int by, int width) {
    const float value = x[threadIdx.x];
    float received = 0.0f;
    if (kind == Shuffle::index) received = __shfl_sync(full_warp, value, by, width);
    if (kind == Shuffle::exclusive_or) received = __shfl_xor_sync(full_warp, value, by, width);
    if (kind == Shuffle::up) received = __shfl_up_sync(full_warp, value, static_cast<unsigned>(by), width);
    if (kind == Shuffle::down) received = __shfl_down_sync(full_warp, value, static_cast<unsigned>(by), width);
    y[threadIdx.x] = received;
}

// The two halves of a warp go different ways: the lower sums by shuffles, the upper counts by ballots, more often.
__global__ void halves_kernel(int* y) {
    const unsigned t = threadIdx.x;
    int value = static_cast<int>(t);
    if (t < 16) {
        for (int offset = 8; offset > 0; offset /= 2) value += __shfl_xor_sync(0x0000ffffu, value, offset);
    } else {
        value = 0;
        for (int i = 0; i < 7; ++i) value += __popc(__ballot_sync(0xffff0000u, static_cast<int>(t) % 7 == i));
    }
    __syncwarp();
    y[t] = value + __shfl_sync(full_warp, value, 31);
}

// The odd lanes leave before the others ask which lanes there are.
__global__ void active_lanes_kernel(unsigned* y) {
    if (threadIdx.x % 2 == 1) return;
    __syncwarp(0x55555555u);
    y[threadIdx.x] = __activemask();
    __syncwarp(0x55555555u);
}

// A lane outside the mask is read.
__global__ void outside_mask_kernel(float* y) {
    if (threadIdx.x < 16) y[threadIdx.x] = __shfl_down_sync(0x0000ffffu, 1.0f, 8);
}

// A block whose last warp has only 8 lanes; the odd lanes leave early.
__global__ void votes_kernel(unsigned* ballots, int* any, int* all) {
    const int t = static_cast<int>(threadIdx.x);
    if (t % 2 == 1) return;
    const unsigned mask = t < 32 ? 0x55555555u : 0x00000055u;
    ballots[t] = __ballot_sync(mask, t % 3 == 0);
    any[t] = __any_sync(mask, t == 38);
    all[t] = __all_sync(mask, t < 34);
}

__global__ void reductions_kernel(const float* x, float* sums, double* double_sums, float* largest) {
    const int t = thread_rank();
    for (int round = 0; round < 3; ++round) {
        const float value = x[t] + static_cast<float>(round);
        const float sum = block_sum(value);
        const double double_sum = block_sum(static_cast<double>(value));
        const float most = block_max(value);
        sums[round * 96 + t] = sum;
        double_sums[round * 96 + t] = double_sum;
        largest[round * 96 + t] = most;
    }
}

__global__ void histogram_kernel(const int* x, int n, unsigned* bins, unsigned long long* total, int* largest,
                                 float* sum) {
    for (std::int64_t i = grid_first(); i < n; i += grid_step()) {
        atomicAdd(&bins[x[i]], 1u);
        atomicAdd(total, 1ull);
        atomicMax(largest, x[i]);
        atomicAdd(sum, 0.5f);
    }
}

// Counts with nothing but compare-and-swap.
__global__ void count_kernel(int* counter) {
    int seen = *counter;
    for (int old = atomicCAS(counter, seen, seen + 1); old != seen; old = atomicCAS(counter, seen, seen + 1))
        seen = old;
}

// Only the last warp waits, for its own lanes: the threads before it have run without a barrier.
__global__ void late_barrier_kernel(int n, int* y) {
    const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
    if (i >= n) return;
    y[i] = i;
    if (warp() == warps_per_block() - 1) y[i] += __shfl_xor_sync(full_warp, i, 1);
}

template <class T>
__global__ void scale_packs_kernel(const T* x, T* y, std::int64_t n, float factor) {
    for (std::int64_t i = grid_first() * Pack<T>::size; i < n; i += grid_step() * Pack<T>::size) {
        Pack<T> pack = Pack<T>::load(x + i);
        for (int k = 0; k < Pack<T>::size; ++k) pack.set(k, pack.get(k) * factor);
        pack.store(y + i);
    }
}

// Each thread's place in the order in which the threads ran.
__global__ void order_kernel(int* counter, int* places) {
    places[blockIdx.x * blockDim.x + threadIdx.x] = atomicAdd(counter, 1);
}

template <class T>
__global__ void axpy_kernel(float factor, const T* x, T* y, std::int64_t n) {
    for (std::int64_t i = grid_first(); i < n; i += grid_step()) store(y + i, load(y + i) + factor * load(x + i));
}

__global__ void watched_kernel(int* y) {
    const int sum = __shfl_xor_sync(full_warp, static_cast<int>(threadIdx.x), 1);
    __syncthreads();
    if (is_watched()) y[0] = static_cast<int>(blockIdx.x * 1000 + threadIdx.x) + sum;
}

// Planted bugs.

// scan_kernel without the barrier between reading and adding: right as long as the higher thread always reads first.
__global__ void scan_without_barrier_kernel(const int* x, int* y) {
    __shared__ int sums[32];
    const unsigned t = threadIdx.x;
    sums[31 - t] = x[t];
    __syncthreads();
    for (unsigned offset = 1; offset < blockDim.x; offset *= 2) {
        sums[31 - t] += 31 - t >= offset ? sums[31 - t - offset] : 0;
        __syncthreads();
    }
    y[31 - t] = sums[31 - t];
}

// The values of one round are overwritten by a warp that is already in the next one.
__global__ void round_without_barrier_kernel(int rounds, int* y) {
    __shared__ int partial[32];
    int total = 0;
    for (int round = 0; round < rounds; ++round) {
        const int sum = warp_sum(round);
        if (lane() == 0) partial[warp()] = sum;
        __syncthreads();
        for (int i = 0; i < warps_per_block(); ++i) total += partial[i];
    }
    y[threadIdx.x] = total;
}

__global__ void write_at_kernel(float* y, int i) { y[i] = 1.0f; }

__global__ void write_shared_at_kernel(int i) { dyn_shared<float>()[i] = 1.0f; }

__global__ void barrier_in_branch_kernel(unsigned first, unsigned end) {
    if (threadIdx.x >= first && threadIdx.x < end) __syncthreads();
}

__global__ void two_barriers_kernel() {
    if (threadIdx.x == 5) {
        __syncthreads();
    } else {
        __syncthreads();
    }
}

__global__ void masks_differ_kernel() {
    __syncwarp(threadIdx.x < 16 ? 0x0000ffffu : full_warp);
    __syncthreads();
}

__global__ void not_in_mask_kernel() { __shfl_sync(0x0000fffeu, 1, 1); }

__global__ void width_kernel() { __shfl_sync(full_warp, 1, 1, 3); }

__global__ void throwing_kernel(int thread) {
    __syncthreads();
    check(static_cast<int>(threadIdx.x) != thread, "value is not finite");
    __syncthreads();
}

__global__ void launching_kernel() { launch<throwing_kernel>(1, 1, 0, nullptr, 1); }

}  // namespace LETHE_CUDA
