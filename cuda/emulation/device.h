// What kernels see in the emulated build: CUDA's qualifiers, built-in variables, barriers, warp operations and atomics.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <type_traits>

#include "cuda/emulation/types.h"

#define __global__ __attribute__((noinline))  // so that a debugger can stop at a kernel and show its arguments
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __shared__ static thread_local

namespace lethe::emulated {

// Set by the scheduler for the thread it lets run. Variables, so that a debugger's conditions can name them.
inline constinit thread_local uint3 threadIdx{0, 0, 0};
inline constinit thread_local uint3 blockIdx{0, 0, 0};
inline constinit thread_local dim3 blockDim;
inline constinit thread_local dim3 gridDim;

constexpr int warpSize = 32;

}  // namespace lethe::emulated

namespace lethe::emulation {

// A place where kernel code may have to wait for other threads.
struct Site {
    const char* operation;
    const char* file;
    int line;
};

void wait_for_block(const Site& site);
void wait_for_warp(std::uint32_t mask, const Site& site);
// Gives `value` to the other lanes of `mask` and returns what lane `source` gave; all ones (NaN) where that lane is not
// in `mask` or has ended: CUDA leaves it undefined.
std::uint64_t exchange(std::uint32_t mask, std::uint64_t value, int source, const Site& site);
// The lanes of `mask` whose predicate holds.
std::uint32_t vote(std::uint32_t mask, bool predicate, const Site& site);

// About the running thread.
int lane();
int group(int width);             // the first lane of its group of `width` lanes; Error unless 1, 2, 4, 8, 16 or 32
std::uint32_t lanes_not_ended();  // of its warp
void* dynamic_shared();
bool is_watched();  // see trace.h
void trace_exchange(const std::string& given, const std::string& received, int source);
void check_aligned16(const void* address);

template <class T>
T exchange_as(std::uint32_t mask, T value, int source, const Site& site) {
    static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= 8);
    std::uint64_t bits = 0;
    std::memcpy(&bits, &value, sizeof(T));
    bits = exchange(mask, bits, source, site);
    T received;
    std::memcpy(&received, &bits, sizeof(T));
    if constexpr (std::is_arithmetic_v<T>)
        if (is_watched()) trace_exchange(std::to_string(value), std::to_string(received), source);
    return received;
}

}  // namespace lethe::emulation

namespace lethe::emulated {

#define LETHE_SITE(operation) \
    ::lethe::emulation::Site { operation, file, line }
#define LETHE_CALLER const char *file = __builtin_FILE(), int line = __builtin_LINE()

inline void __syncthreads(LETHE_CALLER) { emulation::wait_for_block(LETHE_SITE("__syncthreads")); }
inline void __syncwarp(unsigned mask = 0xffffffffu, LETHE_CALLER) {
    emulation::wait_for_warp(mask, LETHE_SITE("__syncwarp"));
}

// A source outside the group of `width` lanes gives the thread its own value back.
template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32, LETHE_CALLER) {
    return emulation::exchange_as(mask, value, emulation::group(width) + (source & (width - 1)),
                                  LETHE_SITE("__shfl_sync"));
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lanes, int width = 32, LETHE_CALLER) {
    const int source = emulation::lane() ^ lanes;
    const bool inside = source < emulation::group(width) + width;
    return emulation::exchange_as(mask, value, inside ? source : emulation::lane(), LETHE_SITE("__shfl_xor_sync"));
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32, LETHE_CALLER) {
    const int source = emulation::lane() - static_cast<int>(delta);
    const bool inside = source >= emulation::group(width);
    return emulation::exchange_as(mask, value, inside ? source : emulation::lane(), LETHE_SITE("__shfl_up_sync"));
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32, LETHE_CALLER) {
    const int source = emulation::lane() + static_cast<int>(delta);
    const bool inside = source < emulation::group(width) + width;
    return emulation::exchange_as(mask, value, inside ? source : emulation::lane(), LETHE_SITE("__shfl_down_sync"));
}

inline unsigned __ballot_sync(unsigned mask, int predicate, LETHE_CALLER) {
    return emulation::vote(mask, predicate != 0, LETHE_SITE("__ballot_sync"));
}
inline int __any_sync(unsigned mask, int predicate, LETHE_CALLER) {
    return emulation::vote(mask, predicate != 0, LETHE_SITE("__any_sync")) != 0;
}
inline int __all_sync(unsigned mask, int predicate, LETHE_CALLER) {
    return emulation::vote(mask, predicate == 0, LETHE_SITE("__all_sync")) == 0;
}
// Which lanes run together is the hardware's choice; here all that have not ended.
inline unsigned __activemask() { return emulation::lanes_not_ended(); }

#undef LETHE_SITE
#undef LETHE_CALLER

// One thread runs at a time, and it is not interrupted here: plain code is atomic.
template <class T>
T atomicAdd(T* address, std::type_identity_t<T> value) {
    const T old = *address;
    *address = old + value;
    return old;
}
template <class T>
T atomicMax(T* address, std::type_identity_t<T> value) {
    const T old = *address;
    if (value > old) *address = value;
    return old;
}
template <class T>
T atomicCAS(T* address, std::type_identity_t<T> expected, std::type_identity_t<T> value) {
    const T old = *address;
    if (old == expected) *address = value;
    return old;
}

// Single 16-byte accesses; Error for a misaligned address, which faults on a GPU.
inline uint4 load16(const void* from) {
    emulation::check_aligned16(from);
    return *static_cast<const uint4*>(from);
}
inline void store16(void* to, uint4 bits) {
    emulation::check_aligned16(to);
    *static_cast<uint4*>(to) = bits;
}

}  // namespace lethe::emulated
