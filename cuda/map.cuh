// The pattern of every elementwise kernel: y[i] = f(i, x[i]...), read and written 16 bytes at a time.
#pragma once

#include "cuda/device.cuh"

namespace LETHE_CUDA {

// `width` consecutive elements in registers, as the floats that kernels compute with.
template <int width>
struct Floats {
    float at[width];
};

// From and to memory: whole packs, for which the address must be 16-byte aligned, or a single element.
template <int width, class T>
__device__ __forceinline__ Floats<width> read(const T* from) {
    Floats<width> values;
    if constexpr (width == 1) {
        values.at[0] = load(from);
    } else {
        static_assert(width % Pack<T>::size == 0);
        for (int i = 0; i < width; i += Pack<T>::size) {
            const Pack<T> pack = Pack<T>::load(from + i);
            for (int j = 0; j < Pack<T>::size; ++j) values.at[i + j] = pack.get(j);
        }
    }
    return values;
}

template <int width, class T>
__device__ __forceinline__ void write(T* to, const Floats<width>& values) {
    if constexpr (width == 1) {
        store(to, values.at[0]);
    } else {
        static_assert(width % Pack<T>::size == 0);
        for (int i = 0; i < width; i += Pack<T>::size) {
            Pack<T> pack;
            for (int j = 0; j < Pack<T>::size; ++j) pack.set(j, values.at[i + j]);
            pack.store(to + i);
        }
    }
}

// Writes f(i + j, x.at[j]...) for j = 0..width-1.
template <int width, class F, class Y, class... Inputs>
__device__ __forceinline__ void apply(const F& f, int64_t i, Y* y, const Inputs&... x) {
    Floats<width> results;
    for (int j = 0; j < width; ++j) results.at[j] = f(i + j, x.at[j]...);
    write(y, results);
}

// y may be one of the inputs: an element is read before it is written, and by the same thread.
template <int width, class F, class Y, class... X>
__global__ void map_kernel(int64_t n, F f, Y* y, const X*... x) {
    const int64_t whole = n / width * width;
    for (int64_t i = grid_first() * width; i < whole; i += grid_step() * width)
        apply<width>(f, i, y + i, read<width>(x + i)...);
    const int64_t i = whole + grid_first();  // fewer than `width` are left
    if (i < n) apply<1>(f, i, y + i, read<1>(x + i)...);
}

}  // namespace LETHE_CUDA
