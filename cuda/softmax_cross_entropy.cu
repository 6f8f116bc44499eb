#include "cuda/backend.h"
#include "cuda/launch.h"
#include "cuda/softmax_cross_entropy.cuh"

namespace LETHE_CUDA {

Tensor CudaBackend::softmax_cross_entropy_impl(const Tensor& logits, const Tensor& labels, Tensor& probabilities,
                                               const CrossEntropy& op) {
    const int64_t rows = logits.dim(0), classes = logits.dim(1);
    Tensor loss = empty({rows});
    probabilities = empty(logits.shape());
    launch<softmax_cross_entropy_kernel>(blocks_for_rows(rows), row_threads, 0, stream_.get(), in<float>(logits),
                                         in<int64_t>(labels), op.label_smoothing, rows, classes,
                                         out<float>(probabilities), out<float>(loss));
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
