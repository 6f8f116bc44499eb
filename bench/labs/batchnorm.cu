#include "bench/labs/batchnorm.cuh"
#include "bench/labs/batchnorm.h"
#include "cuda/map.h"

namespace LETHE_CUDA::labs {
namespace {

// The chunks of pixels that v2 and v3 sum over, and their partial sums, two arrays of double [chunks, C].
struct Chunks {
    explicit Chunks(const BatchNormArrays& of)
        : columns(columns_for_sums(of.pixels, of.channels, 1)),
          sums(static_cast<double*>(static_cast<void*>(of.workspace))),
          squares(sums + columns.chunks() * of.channels) {}

    Columns columns;
    double *sums, *squares;
};

void apply(const BatchNormArrays& of, cudaStream_t stream) {
    const std::int64_t size = of.pixels * of.channels;
    launch<batchnorm_apply_v1_kernel>(blocks_for(size), block_threads, 0, stream, of.x, of.gamma, of.beta, of.mean,
                                      of.inv_std, size, of.channels, of.y);
}

}  // namespace

std::int64_t batchnorm_workspace(std::int64_t pixels, std::int64_t channels) {
    constexpr std::int64_t arrays = 2, floats = sizeof(double) / sizeof(float);
    return arrays * floats * columns_for_sums(pixels, channels, 1).chunks() * channels;
}

void batchnorm_v1(const BatchNormArrays& of, cudaStream_t stream) {
    launch<batchnorm_v1_kernel>(static_cast<unsigned>(of.channels), block_threads, 0, stream, of.x, of.pixels,
                                of.channels, of.eps, of.mean, of.inv_std);
    apply(of, stream);
}

void batchnorm_v2(const BatchNormArrays& of, cudaStream_t stream) {
    const Chunks by(of);
    const std::int64_t chunks = by.columns.chunks();
    const auto pixels = static_cast<double>(of.pixels);
    const dim3 channels = blocks_for(of.channels);
    launch<batchnorm_v2_sums_kernel>(by.columns.grid(), Columns::threads, 0, stream, of.x, by.columns, by.sums);
    launch<batchnorm_v2_mean_kernel>(channels, block_threads, 0, stream, by.sums, chunks, of.channels, pixels, of.mean);
    launch<batchnorm_v2_squares_kernel>(by.columns.grid(), Columns::threads, 0, stream, of.x, of.mean, by.columns,
                                        by.squares);
    launch<batchnorm_v2_inv_std_kernel>(channels, block_threads, 0, stream, by.squares, chunks, of.channels, pixels,
                                        of.eps, of.inv_std);
    apply(of, stream);
}

void batchnorm_v3(const BatchNormArrays& of, cudaStream_t stream) {
    const Chunks by(of);
    launch<batchnorm_v3_kernel>(by.columns.grid(), Columns::threads, 0, stream, of.x, by.columns, by.sums, by.squares);
    launch<batchnorm_v3_finish_kernel>(blocks_for(of.channels), block_threads, 0, stream, of.x, by.sums, by.squares,
                                       by.columns.chunks(), of.channels, static_cast<double>(of.pixels), of.eps,
                                       of.mean, of.inv_std);
    apply(of, stream);
}

}  // namespace LETHE_CUDA::labs
