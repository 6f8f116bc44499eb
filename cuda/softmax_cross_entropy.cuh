// Softmax with cross entropy, its gradient and that of the log-odds, for any number of classes.
#pragma once

#include <cmath>
#include <cstdint>

#include "cuda/warp_rows.cuh"

namespace LETHE_CUDA {

// The largest of z[c] for the classes that `counts` accepts. NaN never wins: exp meets it again.
template <class Counts>
__device__ __forceinline__ float row_max(const float* z, int64_t classes, const Counts& counts) {
    float top = -INFINITY;
    for (int64_t c = lane(); c < classes; c += warp_size) top = counts(c) && z[c] > top ? z[c] : top;
    return warp_max(top);
}

// The loss of one row from log-sum-exp with the maximum taken out, so that nothing overflows: `sum` of exp(z - top),
// `mean` of z - top. Sums are added up in double: of 1 + exp(-20), which is a confident prediction's loss, float keeps
// nothing but the 1.
__device__ __forceinline__ float cross_entropy(const float* z, int64_t label, int64_t classes, float smoothing,
                                               float top, double sum, double mean) {
    const bool exists = label >= 0 && label < classes;
    const auto share = static_cast<double>(smoothing);
    const double own = exists ? static_cast<double>(z[label]) - static_cast<double>(top) : static_cast<double>(NAN);
    return static_cast<float>(log(sum) - (1.0 - share) * own - share * mean);
}

constexpr int tile_rows = 128, most_tile_classes = 32;

// Floats from row to row of a tile: odd, so that threads that go down their rows side by side meet in no bank.
__host__ __device__ __forceinline__ int tile_stride(int classes) { return classes | 1; }

// Calls f(i, place) for every element i of a tile of rows, neighbours by neighbouring threads; `place` is where it lies
// in rows of `stride`. Stepping row and column costs less than dividing for every element.
template <class F>
__device__ __forceinline__ void for_tile(int elements, int classes, int stride, const F& f) {
    const int threads = static_cast<int>(blockDim.x), first = static_cast<int>(threadIdx.x);
    const int down = threads / classes, right = threads % classes;
    int row = first / classes, column = first % classes;
    for (int i = first; i < elements; i += threads) {
        f(i, row * stride + column);
        row += down;
        column += right;
        if (column >= classes) {
            column -= classes;
            ++row;
        }
    }
}

// Few classes: one thread per row, since 32 would mostly idle, but memory is read and written as a tile of 128 rows,
// since rows of 40 bytes are no way to access it.
__global__ void softmax_cross_entropy_tile_kernel(const float* __restrict__ logits, const int64_t* __restrict__ labels,
                                                  float smoothing, int64_t rows, int classes,
                                                  float* __restrict__ probabilities, float* __restrict__ loss) {
    float* tile = dyn_shared<float>();
    const int stride = tile_stride(classes);
    const int64_t first = static_cast<int64_t>(blockIdx.x) * tile_rows, left = rows - first;
    const int here = static_cast<int>(left < tile_rows ? left : tile_rows);
    for_tile(here * classes, classes, stride, [&](int i, int place) { tile[place] = logits[first * classes + i]; });
    __syncthreads();
    const int row = static_cast<int>(threadIdx.x);
    if (row < here) {
        float* z = tile + row * stride;
        float top = -INFINITY;
        for (int c = 0; c < classes; ++c) top = z[c] > top ? z[c] : top;
        double sum = 0.0, mean = 0.0;
        for (int c = 0; c < classes; ++c) {
            sum += static_cast<double>(expf(z[c] - top));
            mean += static_cast<double>(z[c]) - static_cast<double>(top);
        }
        mean = smoothing != 0.0f ? mean / classes : 0.0;
        loss[first + row] = cross_entropy(z, labels[first + row], classes, smoothing, top, sum, mean);
        const auto inverse = static_cast<float>(1.0 / sum);
        for (int c = 0; c < classes; ++c) z[c] = expf(z[c] - top) * inverse;
    }
    __syncthreads();
    for_tile(here * classes, classes, stride,
             [&](int i, int place) { probabilities[first * classes + i] = tile[place]; });
}

// One warp per row of up to 32 * per_lane classes, each read once and kept in registers: all its loads are on their way
// before the first is needed. What a lane lacks of a row is -infinity, which is no maximum and has no share.
template <int per_lane>
__global__ void softmax_cross_entropy_kernel(const float* __restrict__ logits, const int64_t* __restrict__ labels,
                                             float smoothing, int64_t rows, int classes,
                                             float* __restrict__ probabilities, float* __restrict__ loss) {
    const int64_t row = warp_row();
    if (row >= rows) return;
    const float* z = logits + row * classes;
    float values[per_lane];
    for (int i = 0; i < per_lane; ++i) {
        const int c = lane() + warp_size * i;
        values[i] = c < classes ? z[c] : -INFINITY;
    }
    float top = -INFINITY;
    for (int i = 0; i < per_lane; ++i) top = values[i] > top ? values[i] : top;
    top = warp_max(top);
    double mean = 0.0;
    if (smoothing != 0.0f) {
        for (int i = 0; i < per_lane; ++i)
            if (lane() + warp_size * i < classes) mean += static_cast<double>(values[i]) - static_cast<double>(top);
        mean = warp_sum(mean) / classes;
    }
    double sum = 0.0;
    for (int i = 0; i < per_lane; ++i) {
        values[i] = expf(values[i] - top);
        sum += static_cast<double>(values[i]);
    }
    sum = warp_sum(sum);
    const auto inverse = static_cast<float>(1.0 / sum);
    for (int i = 0; i < per_lane; ++i) {
        const int c = lane() + warp_size * i;
        if (c < classes) probabilities[row * classes + c] = values[i] * inverse;
    }
    if (lane() == 0) loss[row] = cross_entropy(z, labels[row], classes, smoothing, top, sum, mean);
}

// One warp per row of any length, which is read three times; the first-level cache serves what it can.
__global__ void softmax_cross_entropy_long_kernel(const float* __restrict__ logits, const int64_t* __restrict__ labels,
                                                  float smoothing, int64_t rows, int64_t classes,
                                                  float* __restrict__ probabilities, float* __restrict__ loss) {
    const int64_t row = warp_row();
    if (row >= rows) return;
    const float* z = logits + row * classes;
    const float top = row_max(z, classes, [](int64_t) { return true; });
    double sum = 0.0, mean = 0.0;
    for (int64_t c = lane(); c < classes; c += warp_size) {
        sum += static_cast<double>(expf(z[c] - top));
        mean += static_cast<double>(z[c]) - static_cast<double>(top);
    }
    sum = warp_sum(sum);
    mean = smoothing != 0.0f ? warp_sum(mean) / static_cast<double>(classes) : 0.0;
    const auto inverse = static_cast<float>(1.0 / sum);
    for (int64_t c = lane(); c < classes; c += warp_size) probabilities[row * classes + c] = expf(z[c] - top) * inverse;
    if (lane() == 0) loss[row] = cross_entropy(z, labels[row], classes, smoothing, top, sum, mean);
}

// A row whose label does not exist becomes NaN, as its loss was.
__global__ void softmax_cross_entropy_grad_kernel(const float* __restrict__ grad_loss,
                                                  const float* __restrict__ probabilities,
                                                  const int64_t* __restrict__ labels, float smoothing, int64_t rows,
                                                  int64_t classes, float* __restrict__ grad) {
    const int64_t row = warp_row();
    if (row >= rows) return;
    const int64_t label = labels[row];
    const float g = label >= 0 && label < classes ? grad_loss[row] : NAN;
    const float own = 1.0f - smoothing, every = smoothing / static_cast<float>(classes);
    for (int64_t c = lane(); c < classes; c += warp_size) {
        const float p = probabilities[row * classes + c];
        grad[row * classes + c] = (c == label ? p - every - own : p - every) * g;
    }
}

// Every block counts the active rows for itself: they are few, and it saves a second kernel.
__global__ void log_odds_grad_kernel(const float* __restrict__ logits, const int64_t* __restrict__ labels,
                                     const float* __restrict__ active, float weight, int64_t rows, int64_t classes,
                                     float* __restrict__ grad) {
    int count = 0;
    for (int64_t i = threadIdx.x; i < rows; i += blockDim.x) count += active[i] != 0.0f ? 1 : 0;
    count = block_sum(count);
    const int64_t row = warp_row();
    if (row >= rows) return;
    float* to = grad + row * classes;
    if (active[row] == 0.0f) {
        for (int64_t c = lane(); c < classes; c += warp_size) to[c] = 0.0f;
        return;
    }
    const int64_t label = labels[row];
    const bool exists = label >= 0 && label < classes;
    const double share = static_cast<double>(exists ? weight : NAN) / count;
    const float* z = logits + row * classes;
    const auto top = static_cast<double>(row_max(z, classes, [&](int64_t c) { return c != label; }));
    double sum = 0.0;
    for (int64_t c = lane(); c < classes; c += warp_size)
        sum += c == label ? 0.0 : exp(static_cast<double>(z[c]) - top);
    sum = warp_sum(sum);
    for (int64_t c = lane(); c < classes; c += warp_size)
        to[c] = static_cast<float>(c == label ? share : -share * exp(static_cast<double>(z[c]) - top) / sum);
}

}  // namespace LETHE_CUDA
