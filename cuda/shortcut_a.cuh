// Shortcut "option A" and its gradient. Both gather, so nothing has to be cleared first and no two threads meet.
#pragma once

#include "cuda/map.cuh"

namespace LETHE_CUDA {

// x [N,H,W,C] and y [N,P,Q,K] in memory; channel c of x is channel before + c of y.
struct ShortcutA {
    int64_t height, width, channels;         // of x
    int64_t rows, columns, padded_channels;  // of y
    int64_t before, stride;
};

// With `pack` elements at a time, C, K and before must be multiples of it and the addresses aligned.
template <int pack, class T>
__global__ void shortcut_a_kernel(const T* x, T* y, int64_t n, ShortcutA s) {
    for (int64_t i = grid_first() * pack; i < n; i += grid_step() * pack) {
        const int64_t pixel = i / s.padded_channels, c = i - pixel * s.padded_channels - s.before;
        const int64_t row = pixel / s.columns, q = pixel - row * s.columns;
        const int64_t image = row / s.rows, p = row - image * s.rows;
        Floats<pack> values{};
        if (c >= 0 && c < s.channels)
            values = read<pack>(x + ((image * s.height + p * s.stride) * s.width + q * s.stride) * s.channels + c);
        write(y + i, values);
    }
}

template <int pack, class T>
__global__ void shortcut_a_grad_kernel(const T* grad_y, T* grad_x, int64_t n, ShortcutA s) {
    for (int64_t i = grid_first() * pack; i < n; i += grid_step() * pack) {
        const int64_t pixel = i / s.channels, c = i - pixel * s.channels;
        const int64_t row = pixel / s.width, w = pixel - row * s.width;
        const int64_t image = row / s.height, h = row - image * s.height;
        const int64_t p = h / s.stride, q = w / s.stride;
        Floats<pack> values{};
        if (p * s.stride == h && q * s.stride == w)
            values = read<pack>(grad_y + ((image * s.rows + p) * s.columns + q) * s.padded_channels + s.before + c);
        write(grad_x + i, values);
    }
}

}  // namespace LETHE_CUDA
