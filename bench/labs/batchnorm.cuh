// The kernels of the batchnorm lab. The arithmetic is nothing. The statistics need all of x, 4 bytes per element,
// before the first element of y can be computed, which needs x again and is written: 12 bytes per element, because x is
// larger than the caches. The question is how often more than that x is read, and how much of each access is used.
#pragma once

#include "cuda/columns.cuh"

namespace LETHE_CUDA::labs {

// v1: a block per channel goes through its pixels twice, for the mean and for the squared distances from it. Pixels of
// one channel lie 4 C bytes apart and memory comes in pieces of 32 bytes, so 4 of 32 are used: 64 bytes per element
// instead of 4, less what the caches keep for the blocks of the neighbouring channels. And there are no more blocks
// than channels: 64 of them leave half of a GPU idle.
__global__ void batchnorm_v1_kernel(const float* x, std::int64_t pixels, std::int64_t channels, float eps, float* mean,
                                    float* inv_std) {
    const std::int64_t channel = blockIdx.x;
    float sum = 0.0f, squares = 0.0f;
    for (std::int64_t i = threadIdx.x; i < pixels; i += blockDim.x) sum += x[i * channels + channel];
    const float center = block_sum(sum) / static_cast<float>(pixels);
    for (std::int64_t i = threadIdx.x; i < pixels; i += blockDim.x) {
        const float d = x[i * channels + channel] - center;
        squares += d * d;
    }
    const float variance = block_sum(squares) / static_cast<float>(pixels);
    if (threadIdx.x != 0) return;
    mean[channel] = center;
    inv_std[channel] = 1.0f / sqrtf(variance + eps);
}

// The second half of v1, v2 and v3, one thread per element: neighbours read neighbours, 8 bytes per element.
__global__ void batchnorm_apply_v1_kernel(const float* x, const float* gamma, const float* beta, const float* mean,
                                          const float* inv_std, std::int64_t size, std::int64_t channels, float* y) {
    for (std::int64_t i = grid_first(); i < size; i += grid_step()) {
        const std::int64_t c = i % channels;
        y[i] = gamma[c] * inv_std[c] * (x[i] - mean[c]) + beta[c];
    }
}

// v2: neighbours in a warp take neighbouring channels, so that every byte fetched is used; and each block takes a chunk
// of pixels, whose sums a second kernel adds up, so that there are blocks for all of the GPU. Still two passes for the
// statistics: 4 + 4 + 8 = 16 bytes per element. Expect three quarters of what is possible.
__global__ void batchnorm_v2_sums_kernel(const float* x, Columns columns, double* partial) {
    const ColumnThread me(columns);
    float sum = 0.0f;
    for (int i = 0; i < me.count; ++i) sum += x[me.at(i)];
    double total[1] = {static_cast<double>(sum)};
    add_down(total, me, columns);
    if (me.leads()) partial[blockIdx.x * columns.columns + me.column] = total[0];
}
__global__ void batchnorm_v2_squares_kernel(const float* x, const float* mean, Columns columns, double* partial) {
    const ColumnThread me(columns);
    float squares = 0.0f;
    for (int i = 0; i < me.count; ++i) {
        const float d = x[me.at(i)] - mean[me.column];
        squares += d * d;
    }
    double total[1] = {static_cast<double>(squares)};
    add_down(total, me, columns);
    if (me.leads()) partial[blockIdx.x * columns.columns + me.column] = total[0];
}

__device__ __forceinline__ double sum_of_chunks(const double* partial, std::int64_t chunks, std::int64_t channels,
                                                std::int64_t channel) {
    double sum = 0.0;
    for (std::int64_t i = 0; i < chunks; ++i) sum += partial[i * channels + channel];
    return sum;
}
__global__ void batchnorm_v2_mean_kernel(const double* partial, std::int64_t chunks, std::int64_t channels,
                                         double pixels, float* mean) {
    const std::int64_t channel = grid_first();
    if (channel >= channels) return;
    mean[channel] = static_cast<float>(sum_of_chunks(partial, chunks, channels, channel) / pixels);
}
__global__ void batchnorm_v2_inv_std_kernel(const double* partial, std::int64_t chunks, std::int64_t channels,
                                            double pixels, double eps, float* inv_std) {
    const std::int64_t channel = grid_first();
    if (channel >= channels) return;
    const double variance = sum_of_chunks(partial, chunks, channels, channel) / pixels;
    inv_std[channel] = static_cast<float>(1.0 / sqrt(variance + eps));
}

// v3: one pass for the statistics. Sums of x and x^2 would do in exact arithmetic, but in float they lose a small
// variance behind a large mean; sums of x - shift and its square do not, where shift is some value of the channel: here
// that of the first pixel. 4 + 8 = 12 bytes per element: 1.3 times v2.
__global__ void batchnorm_v3_kernel(const float* x, Columns columns, double* sums, double* squares) {
    const ColumnThread me(columns);
    float sum = 0.0f, square = 0.0f;
    if (me.works) {
        const float shift = x[me.column];
        for (int i = 0; i < me.count; ++i) {
            const float d = x[me.at(i)] - shift;
            sum += d;
            square += d * d;
        }
    }
    double first[1] = {static_cast<double>(sum)}, second[1] = {static_cast<double>(square)};
    add_down(first, me, columns);
    add_down(second, me, columns);
    if (!me.leads()) return;
    sums[blockIdx.x * columns.columns + me.column] = first[0];
    squares[blockIdx.x * columns.columns + me.column] = second[0];
}
__global__ void batchnorm_v3_finish_kernel(const float* x, const double* sums, const double* squares,
                                           std::int64_t chunks, std::int64_t channels, double pixels, double eps,
                                           float* mean, float* inv_std) {
    const std::int64_t channel = grid_first();
    if (channel >= channels) return;
    const double distance = sum_of_chunks(sums, chunks, channels, channel) / pixels;
    const double variance = sum_of_chunks(squares, chunks, channels, channel) / pixels - distance * distance;
    mean[channel] = static_cast<float>(static_cast<double>(x[channel]) + distance);
    inv_std[channel] = static_cast<float>(1.0 / sqrt(variance + eps));
}

// v4 is shipped: CudaBackend::batchnorm, with the kernels of cuda/batchnorm.cuh. Each thread takes four channels: 16
// bytes per access, a quarter of the instructions, four sums that do not wait for each other; the constants of its
// channels stay in registers while it goes down the pixels, where v3's application reads four numbers per element from
// the caches and divides to find the channel. Expect 80 % of copy speed and more.

}  // namespace LETHE_CUDA::labs
