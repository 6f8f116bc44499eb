// Grouped convolutions as plain loops, for where there is no cuDNN: their sums are short, so there is little to share
// between threads. Neighbouring threads have neighbouring channels.
#pragma once

#include "cuda/conv2d.cuh"

namespace LETHE_CUDA {

// A weight as the products see it: rounded to T.
template <class T>
__device__ __forceinline__ float rounded_to(float weight) {
    T stored;
    store(&stored, weight);
    return load(&stored);
}

// Element i of an array [images, height, width, channels].
struct Place {
    __device__ Place(std::int64_t i, int height, int width, int channels)
        : channel(static_cast<int>(i % channels)),
          column(static_cast<int>(i / channels % width)),
          row(static_cast<int>(i / channels / width % height)),
          image(i / channels / width / height) {}
    int channel, column, row;
    std::int64_t image;
};

// y = relu?(conv(x, w) + bias + residual), a thread per element; bias and residual may be null.
template <class T>
__global__ void grouped_conv2d_kernel(const T* x, const float* w, const float* bias, const T* residual, bool relu,
                                      ConvGeometry g, T* y) {
    const int channels = g.channels / g.groups, filters = g.filters / g.groups;
    const std::int64_t n = static_cast<std::int64_t>(g.images) * g.out_height * g.out_width * g.filters;
    for (std::int64_t i = grid_first(); i < n; i += grid_step()) {
        const Place at(i, g.out_height, g.out_width, g.filters);
        float sum = 0.0f;
        for (int r = 0; r < g.rows; ++r)
            for (int s = 0; s < g.columns; ++s) {
                const int row = at.row * g.stride - g.pad + r, column = at.column * g.stride - g.pad + s;
                if (row < 0 || row >= g.height || column < 0 || column >= g.width) continue;
                const T* seen =
                    x + ((at.image * g.height + row) * g.width + column) * g.channels + at.channel / filters * channels;
                const float* weights =
                    w + ((static_cast<std::int64_t>(at.channel) * g.rows + r) * g.columns + s) * channels;
                for (int c = 0; c < channels; ++c) sum += load(seen + c) * rounded_to<T>(weights[c]);
            }
        if (bias != nullptr) sum += bias[at.channel];
        if (residual != nullptr) sum += load(residual + i);
        store(y + i, relu && sum < 0.0f ? 0.0f : sum);  // NaN stays
    }
}

// grad_x = (the gradient + added) * (mask > 0), a thread per element; added and mask may be null.
template <class T>
__global__ void grouped_grad_x_kernel(const T* grad_y, const float* w, const T* added, const T* mask, ConvGeometry g,
                                      T* grad_x) {
    const int channels = g.channels / g.groups, filters = g.filters / g.groups;
    const std::int64_t n = static_cast<std::int64_t>(g.images) * g.height * g.width * g.channels;
    for (std::int64_t i = grid_first(); i < n; i += grid_step()) {
        const Place at(i, g.height, g.width, g.channels);
        const int first = at.channel / channels * filters;
        float sum = 0.0f;
        for (int r = 0; r < g.rows; ++r)
            for (int s = 0; s < g.columns; ++s) {
                const int down = at.row + g.pad - r, right = at.column + g.pad - s;
                if (down < 0 || right < 0 || down % g.stride != 0 || right % g.stride != 0) continue;
                const int p = down / g.stride, q = right / g.stride;
                if (p >= g.out_height || q >= g.out_width) continue;
                const T* from = grad_y + ((at.image * g.out_height + p) * g.out_width + q) * g.filters + first;
                for (int k = 0; k < filters; ++k) {
                    const std::int64_t tap = (static_cast<std::int64_t>(first + k) * g.rows + r) * g.columns + s;
                    sum += load(from + k) * rounded_to<T>(w[tap * channels + at.channel % channels]);
                }
            }
        if (added != nullptr) sum += load(added + i);
        if (mask != nullptr && !(load(mask + i) > 0.0f)) sum = 0.0f;
        store(grad_x + i, sum);
    }
}

// Each chunk's sum of its groups of pixels' gradients for the weights, or of their absolute values: to [chunks, K, R,
// S, C / groups]. blockIdx.y is the chunk, a thread an element.
template <bool absolute, class T>
__global__ void grouped_grad_w_kernel(const T* grad_y, const T* x, ConvGeometry g, PixelChunks split, float* to) {
    const int channels = g.channels / g.groups, filters = g.filters / g.groups, chunk = static_cast<int>(blockIdx.y);
    const int first = chunk * split.groups_per_chunk, last = min(first + split.groups_per_chunk, split.groups);
    const std::int64_t pixels = static_cast<std::int64_t>(g.images) * g.out_height * g.out_width;
    const std::int64_t size = static_cast<std::int64_t>(g.filters) * g.rows * g.columns * channels;
    for (std::int64_t i = grid_first(); i < size; i += grid_step()) {
        const Place weight(i, g.rows, g.columns * channels, g.filters);  // filters are neighbours; "image" is 0
        const int r = weight.row, s = weight.column / channels, c = weight.column % channels, k = weight.channel;
        float total = 0.0f;
        for (int group = first; group < last; ++group) {
            float part = 0.0f;
            const std::int64_t end = min((group + 1) * split.pixels_per_group, pixels);
            for (std::int64_t pixel = group * split.pixels_per_group; pixel < end; ++pixel) {
                const Place at(pixel, g.out_height, g.out_width, 1);
                const int row = at.row * g.stride - g.pad + r, column = at.column * g.stride - g.pad + s;
                if (row < 0 || row >= g.height || column < 0 || column >= g.width) continue;
                const std::int64_t seen = ((at.image * g.height + row) * g.width + column) * g.channels;
                part += load(grad_y + pixel * g.filters + k) * load(x + seen + k / filters * channels + c);
            }
            total += absolute ? fabsf(part) : part;
        }
        to[chunk * size + ((static_cast<std::int64_t>(k) * g.rows + r) * g.columns + s) * channels + c] = total;
    }
}

}  // namespace LETHE_CUDA
