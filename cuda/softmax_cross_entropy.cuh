// Softmax with cross entropy, its gradient and that of the log-odds: one warp per row, any number of classes.
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

// log-sum-exp with the maximum taken out, so that nothing overflows. The sum is added up in double: of 1 + exp(-20),
// which is a confident prediction's loss, float keeps nothing but the 1.
__global__ void softmax_cross_entropy_kernel(const float* __restrict__ logits, const int64_t* __restrict__ labels,
                                             float smoothing, int64_t rows, int64_t classes,
                                             float* __restrict__ probabilities, float* __restrict__ loss) {
    const int64_t row = warp_row();
    if (row >= rows) return;
    const float* z = logits + row * classes;
    const float top = row_max(z, classes, [](int64_t) { return true; });
    double sum = 0.0;
    for (int64_t c = lane(); c < classes; c += warp_size) sum += static_cast<double>(expf(z[c] - top));
    sum = warp_sum(sum);
    const auto inverse = static_cast<float>(1.0 / sum);
    for (int64_t c = lane(); c < classes; c += warp_size) probabilities[row * classes + c] = expf(z[c] - top) * inverse;
    double mean = 0.0;
    if (smoothing != 0.0f) {
        for (int64_t c = lane(); c < classes; c += warp_size)
            mean += static_cast<double>(z[c]) - static_cast<double>(top);
        mean = warp_sum(mean) / static_cast<double>(classes);
    }
    if (lane() != 0) return;
    const int64_t label = labels[row];
    const bool exists = label >= 0 && label < classes;
    const auto share = static_cast<double>(smoothing);
    const double own = exists ? static_cast<double>(z[label]) - static_cast<double>(top) : static_cast<double>(NAN);
    loss[row] = static_cast<float>(log(sum) - (1.0 - share) * own - share * mean);
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
