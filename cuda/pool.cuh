// Maximum over windows with its winners, the gradient gathered from them, the same for the mean, and the gradient of
// the global average (the average itself is a column sum: cuda/columns.cuh).
#pragma once

#include <cmath>
#include <cstdint>

#include "cuda/columns.cuh"

namespace LETHE_CUDA {

// Sizes of one image and of its windows.
struct Pooling {
    int channels, height, width;
    int rows, columns;  // of y
    int kernel, stride, pad;
};

// One block per row of y. NaN wins, so that it is not lost; of equal values the first in scan order does.
template <class T, int Width>
__global__ void max_pool2d_kernel(const T* __restrict__ x, Pooling of, T* __restrict__ y,
                                  int64_t* __restrict__ argmax) {
    const int64_t image = blockIdx.x / of.rows * static_cast<int64_t>(of.height) * of.width * of.channels;
    const int p = static_cast<int>(blockIdx.x % of.rows), groups = of.channels / Width;
    const int top = p * of.stride - of.pad, bottom = min(top + of.kernel, of.height);
    for (int i = static_cast<int>(threadIdx.x); i < of.columns * groups; i += static_cast<int>(blockDim.x)) {
        const int c = i % groups * Width, left = i / groups * of.stride - of.pad;
        const int right = min(left + of.kernel, of.width);
        Floats<Width> best{};
        int64_t winner[Width] = {};
        bool first = true;
        for (int h = max(top, 0); h < bottom; ++h)
            for (int w = max(left, 0); w < right; ++w) {
                const int64_t at = image + (static_cast<int64_t>(h) * of.width + w) * of.channels + c;
                const Floats<Width> value = read<Width>(x + at);
                for (int v = 0; v < Width; ++v) {
                    const bool better = value.at[v] > best.at[v] || (isnan(value.at[v]) && !isnan(best.at[v]));
                    if (!first && !better) continue;
                    best.at[v] = value.at[v];
                    winner[v] = at + v;
                }
                first = false;
            }
        const int64_t to = static_cast<int64_t>(blockIdx.x) * of.columns * of.channels + i * Width;
        write(y + to, best);
        for (int v = 0; v < Width; ++v) argmax[to + v] = winner[v];
    }
}

// The windows that contain coordinate `at`: [first, last).
struct WindowRange {
    __device__ WindowRange(int at, int count, const Pooling& of)
        : first(at + of.pad < of.kernel ? 0 : (at + of.pad - of.kernel) / of.stride + 1),
          last(min((at + of.pad) / of.stride + 1, count)) {}
    int first, last;
};

// One block per row of x. Each element adds up the windows that it won, in their order: a gather needs no atomics.
template <class T, int Width>
__global__ void max_pool2d_grad_kernel(const T* __restrict__ grad_y, const int64_t* __restrict__ argmax, Pooling of,
                                       T* __restrict__ grad_x) {
    const int64_t number = blockIdx.x / of.height, windows = number * of.rows * of.columns;
    const WindowRange rows(static_cast<int>(blockIdx.x % of.height), of.rows, of);
    const int groups = of.channels / Width;
    for (int i = static_cast<int>(threadIdx.x); i < of.width * groups; i += static_cast<int>(blockDim.x)) {
        const int c = i % groups * Width;
        const int64_t self = static_cast<int64_t>(blockIdx.x) * of.width * of.channels + i * Width;
        const WindowRange columns(i / groups, of.columns, of);
        Floats<Width> sum{};
        for (int p = rows.first; p < rows.last; ++p)
            for (int q = columns.first; q < columns.last; ++q) {
                const int64_t at = (windows + static_cast<int64_t>(p) * of.columns + q) * of.channels + c;
                const Floats<Width> g = read<Width>(grad_y + at);
                for (int v = 0; v < Width; ++v)
                    if (argmax[at + v] == self + v) sum.at[v] += g.at[v];
            }
        write(grad_x + self, sum);
    }
}

// One over the size of window (p, q): with the padding, without what lies behind it.
__device__ __forceinline__ float share_of(int p, int q, const Pooling& of) {
    const int rows = min(of.kernel, of.height + 2 * of.pad - p * of.stride);
    return 1.0f / static_cast<float>(rows * min(of.kernel, of.width + 2 * of.pad - q * of.stride));
}

// One block per row of y.
template <class T, int Width>
__global__ void avg_pool2d_kernel(const T* __restrict__ x, Pooling of, T* __restrict__ y) {
    const int64_t image = blockIdx.x / of.rows * static_cast<int64_t>(of.height) * of.width * of.channels;
    const int p = static_cast<int>(blockIdx.x % of.rows), groups = of.channels / Width;
    const int top = p * of.stride - of.pad, bottom = min(top + of.kernel, of.height);
    for (int i = static_cast<int>(threadIdx.x); i < of.columns * groups; i += static_cast<int>(blockDim.x)) {
        const int c = i % groups * Width, q = i / groups, left = q * of.stride - of.pad;
        const int right = min(left + of.kernel, of.width);
        Floats<Width> sum{};
        for (int h = max(top, 0); h < bottom; ++h)
            for (int w = max(left, 0); w < right; ++w) {
                const Floats<Width> value =
                    read<Width>(x + image + (static_cast<int64_t>(h) * of.width + w) * of.channels + c);
                for (int v = 0; v < Width; ++v) sum.at[v] += value.at[v];
            }
        const float share = share_of(p, q, of);
        for (int v = 0; v < Width; ++v) sum.at[v] *= share;
        write(y + static_cast<int64_t>(blockIdx.x) * of.columns * of.channels + i * Width, sum);
    }
}

// One block per row of x.
template <class T, int Width>
__global__ void avg_pool2d_grad_kernel(const T* __restrict__ grad_y, Pooling of, T* __restrict__ grad_x) {
    const int64_t windows = blockIdx.x / of.height * static_cast<int64_t>(of.rows) * of.columns;
    const WindowRange rows(static_cast<int>(blockIdx.x % of.height), of.rows, of);
    const int groups = of.channels / Width;
    for (int i = static_cast<int>(threadIdx.x); i < of.width * groups; i += static_cast<int>(blockDim.x)) {
        const WindowRange columns(i / groups, of.columns, of);
        Floats<Width> sum{};
        for (int p = rows.first; p < rows.last; ++p)
            for (int q = columns.first; q < columns.last; ++q) {
                const int64_t at = (windows + static_cast<int64_t>(p) * of.columns + q) * of.channels;
                const Floats<Width> g = read<Width>(grad_y + at + i % groups * Width);
                const float share = share_of(p, q, of);
                for (int v = 0; v < Width; ++v) sum.at[v] += g.at[v] * share;
            }
        write(grad_x + static_cast<int64_t>(blockIdx.x) * of.width * of.channels + i * Width, sum);
    }
}

// One chunk of pixels is one image: every pixel gets its share of grad_y [N, C].
template <class T, int Width>
__global__ void global_avg_pool_grad_kernel(const float* __restrict__ grad_y, Columns columns, float share,
                                            T* __restrict__ grad_x) {
    const ColumnThread me(columns);
    if (!me.works) return;
    Floats<Width> g;
    for (int v = 0; v < Width; ++v) g.at[v] = grad_y[blockIdx.x * columns.columns + me.column + v] * share;
    for (int i = 0; i < me.count; ++i) write(grad_x + me.at(i), g);
}

}  // namespace LETHE_CUDA
