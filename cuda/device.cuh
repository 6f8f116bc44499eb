// What kernels share: the storage types, 16-byte packs, reductions over a warp and a block, dynamic shared memory.
#pragma once

#include <cstdint>
#include <cstring>

#include "cuda/target.h"

namespace LETHE_CUDA {

constexpr int warp_size = 32;
constexpr unsigned full_warp = 0xffffffffu;

// Storage <-> arithmetic: kernels compute in float whatever T is. store rounds to nearest even.
__device__ __forceinline__ float load(const float* from) { return *from; }
__device__ __forceinline__ float load(const Bf16* from) { return __bfloat162float(*from); }
__device__ __forceinline__ void store(float* to, float value) { *to = value; }
__device__ __forceinline__ void store(Bf16* to, float value) { *to = __float2bfloat16(value); }

// True where a Pack may be loaded from or stored to p.
__host__ __device__ __forceinline__ bool is_aligned16(const void* p) {
    return reinterpret_cast<std::uintptr_t>(p) % 16 == 0;
}

#ifndef LETHE_EMULATED  // the emulator's own versions report a misaligned pointer
__device__ __forceinline__ uint4 load16(const void* from) { return *static_cast<const uint4*>(from); }
__device__ __forceinline__ void store16(void* to, uint4 bits) { *static_cast<uint4*>(to) = bits; }
#endif

// 16 bytes of T, the widest single memory access: 4 floats or 8 Bf16. Pointers must be 16-byte aligned.
template <class T>
struct alignas(16) Pack {
    static constexpr int size = 16 / static_cast<int>(sizeof(T));
    T values[size];

    static __device__ __forceinline__ Pack load(const T* from) {
        const uint4 bits = load16(from);
        Pack pack;
        memcpy(&pack, &bits, sizeof(bits));
        return pack;
    }
    __device__ __forceinline__ void store(T* to) const {
        uint4 bits;
        memcpy(&bits, this, sizeof(bits));
        store16(to, bits);
    }
    __device__ __forceinline__ float get(int i) const { return LETHE_CUDA::load(values + i); }
    __device__ __forceinline__ void set(int i, float value) { LETHE_CUDA::store(values + i, value); }
};

// The calling thread's place in its block, in its warp, and the warp's place in the block.
__device__ __forceinline__ int thread_rank() {
    return static_cast<int>(threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z));
}
__device__ __forceinline__ int lane() { return thread_rank() % warp_size; }
__device__ __forceinline__ int warp() { return thread_rank() / warp_size; }
__device__ __forceinline__ int warps_per_block() {
    return static_cast<int>(blockDim.x * blockDim.y * blockDim.z) / warp_size;
}

// Loops over n elements with a grid of any size: for (int64_t i = grid_first(); i < n; i += grid_step()).
__device__ __forceinline__ std::int64_t grid_first() {
    return static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}
__device__ __forceinline__ std::int64_t grid_step() { return static_cast<std::int64_t>(gridDim.x) * blockDim.x; }

// Reductions over the 32 lanes of a warp, all of which must call; every lane gets the result.
template <class T>
__device__ __forceinline__ T warp_sum(T value) {
    for (int offset = warp_size / 2; offset > 0; offset /= 2) value += __shfl_xor_sync(full_warp, value, offset);
    return value;
}
template <class T>
__device__ __forceinline__ T warp_max(T value) {
    for (int offset = warp_size / 2; offset > 0; offset /= 2) {
        const T other = __shfl_xor_sync(full_warp, value, offset);
        value = other > value ? other : value;
    }
    return value;
}

// Reductions over a block of whole warps, all threads of which must call; every thread gets the result, which is added
// up in a fixed order. The second barrier lets the next call write `partial` again.
template <class T>
__device__ __forceinline__ T block_sum(T value) {
    __shared__ T partial[warp_size];
    value = warp_sum(value);
    if (lane() == 0) partial[warp()] = value;
    __syncthreads();
    T total = partial[0];
    for (int i = 1; i < warps_per_block(); ++i) total += partial[i];
    __syncthreads();
    return total;
}
template <class T>
__device__ __forceinline__ T block_max(T value) {
    __shared__ T partial[warp_size];
    value = warp_max(value);
    if (lane() == 0) partial[warp()] = value;
    __syncthreads();
    T largest = partial[0];
    for (int i = 1; i < warps_per_block(); ++i) largest = partial[i] > largest ? partial[i] : largest;
    __syncthreads();
    return largest;
}

// The dynamic shared memory given to launch(), 16-byte aligned and uninitialised.
template <class T>
__device__ __forceinline__ T* dyn_shared() {
#ifdef LETHE_EMULATED
    return static_cast<T*>(emulation::dynamic_shared());
#else
    extern __shared__ uint4 lethe_dynamic_shared[];  // uint4 for its alignment
    return reinterpret_cast<T*>(lethe_dynamic_shared);
#endif
}

// True in the thread that is being followed in the emulator (docs/emulator.md), for a printf; false on a GPU.
__device__ __forceinline__ bool is_watched() {
#ifdef LETHE_EMULATED
    return emulation::is_watched();
#else
    return false;
#endif
}

}  // namespace LETHE_CUDA
