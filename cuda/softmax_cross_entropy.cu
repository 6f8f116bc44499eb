#include <algorithm>

#include "cuda/backend.h"
#include "cuda/launch.h"
#include "cuda/softmax_cross_entropy.cuh"

namespace LETHE_CUDA {
Tensor CudaBackend::softmax_cross_entropy_impl(const Tensor& logits, const Tensor& labels, Tensor& probabilities,
                                               const CrossEntropy& op) {
    const int64_t rows = logits.dim(0), classes = logits.dim(1);
    Tensor loss = empty({rows});
    probabilities = empty(logits.shape());
    const auto run = [&]<auto kernel>(dim3 blocks, int threads, std::size_t shared, auto count) {
        launch<kernel>(blocks, threads, shared, stream_.get(), in<float>(logits), in<int64_t>(labels),
                       op.label_smoothing, rows, count, out<float>(probabilities), out<float>(loss));
    };
    constexpr int some = 4, many = 32;  // registers a lane may keep a row in
    const int columns = static_cast<int>(std::min<int64_t>(classes, many * warp_size));
    if (classes <= most_tile_classes) {
        const auto tiles = static_cast<unsigned>((rows + tile_rows - 1) / tile_rows);
        const auto bytes = static_cast<std::size_t>(tile_rows * tile_stride(columns)) * sizeof(float);
        run.template operator()<softmax_cross_entropy_tile_kernel>(tiles, tile_rows, bytes, columns);
    } else if (classes <= some * warp_size) {
        run.template operator()<softmax_cross_entropy_kernel<some>>(blocks_for_rows(rows), row_threads, 0, columns);
    } else if (classes <= many * warp_size) {
        run.template operator()<softmax_cross_entropy_kernel<many>>(blocks_for_rows(rows), row_threads, 0, columns);
    } else {
        run.template operator()<softmax_cross_entropy_long_kernel>(blocks_for_rows(rows), row_threads, 0, classes);
    }
    return loss;
    return loss;
}

Tensor CudaBackend::softmax_cross_entropy_grad_impl(const Tensor& grad_loss, const Tensor& probabilities,
                                                    const Tensor& labels, const CrossEntropy& op) {
    const int64_t rows = probabilities.dim(0), classes = probabilities.dim(1);
    Tensor grad = empty(probabilities.shape());
    launch<softmax_cross_entropy_grad_kernel>(blocks_for_rows(rows), row_threads, 0, stream_.get(),
                                              in<float>(grad_loss), in<float>(probabilities), in<int64_t>(labels),
                                              op.label_smoothing, rows, classes, out<float>(grad));
    return grad;
}

Tensor CudaBackend::log_odds_grad_impl(const Tensor& logits, const Tensor& labels, const Tensor& active, float weight) {
    const int64_t rows = logits.dim(0), classes = logits.dim(1);
    Tensor grad = empty(logits.shape());
    launch<log_odds_grad_kernel>(blocks_for_rows(rows), row_threads, 0, stream_.get(), in<float>(logits),
                                 in<int64_t>(labels), in<float>(active), weight, rows, classes, out<float>(grad));
    return grad;
}

}  // namespace LETHE_CUDA
