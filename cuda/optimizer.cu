#include "cuda/backend.h"
#include "cuda/map.h"
#include "cuda/optimizer.cuh"

namespace LETHE_CUDA {
namespace {

// One launch for as many tensors as its argument holds.
template <class Update>
class Batch {
public:
    Batch(cudaStream_t stream, const Update& update) : stream_(stream), update_(update) {}

    void add(typename Update::Tensor tensor) {
        if (tensor.numel == 0) return;
        if (list_.count == list_.most) launch_all();
        tensor.first_chunk = blocks_;
        blocks_ += static_cast<unsigned>((tensor.numel + update_chunk - 1) / update_chunk);
        list_.tensors[list_.count++] = tensor;
    }

    void launch_all() {
        static_assert(sizeof(list_) + sizeof(update_) <= 4096);
        launch<update_kernel<Update>>(blocks_, block_threads, 0, stream_, list_, update_);
        list_.count = 0;
        blocks_ = 0;
    }

private:
    cudaStream_t stream_;
    Update update_;
    TensorList<typename Update::Tensor> list_{};
    unsigned blocks_ = 0;
};

Clip clip_of(const GradientClip& clip) { return {in<float>(clip.factor), clip.value > 0.0f ? clip.value : INFINITY}; }

template <class Item>
UpdatedTensor common_part(Item& item) {
    UpdatedTensor tensor{};
    tensor.param = out<float>(item.param);
    tensor.grad = in<float>(item.grad);
    tensor.weight = in<float>(item.penalty.weight);
    tensor.anchor = in<float>(item.penalty.anchor);
    tensor.weight_decay = item.weight_decay;
    tensor.aligned = is_aligned16(tensor.param) && is_aligned16(tensor.grad) && is_aligned16(tensor.weight) &&
                     is_aligned16(tensor.anchor);
    tensor.numel = item.param.numel();
    return tensor;
}

}  // namespace

void CudaBackend::sgd_impl(std::span<SgdItem> items, const Sgd& op) {
    Batch<SgdUpdate> batch(stream_.get(), {in<float>(op.scalars), op.lr, op.momentum, op.lambda, op.nesterov,
                                           op.first_step, clip_of(op.clip)});
    for (SgdItem& item : items) {
        SgdTensor tensor{common_part(item), nullptr};
        if (op.momentum != 0.0f) tensor.momentum = out<float>(item.momentum);
        tensor.aligned = tensor.aligned && is_aligned16(tensor.momentum);
        batch.add(tensor);
    }
    batch.launch_all();
}

void CudaBackend::adam_impl(std::span<AdamItem> items, const Adam& op) {
    Batch<AdamUpdate> batch(stream_.get(), {in<float>(op.scalars), op.step_size(), op.inv_sqrt_correction2(), op.lr,
                                            op.beta1, op.beta2, op.eps, op.lambda, op.decoupled, clip_of(op.clip)});
    for (AdamItem& item : items) {
        AdamTensor tensor{common_part(item), out<float>(item.exp_avg), out<float>(item.exp_avg_sq)};
        tensor.aligned = tensor.aligned && is_aligned16(tensor.exp_avg) && is_aligned16(tensor.exp_avg_sq);
        batch.add(tensor);
    }
    batch.launch_all();
}

void CudaBackend::ema_impl(std::span<EmaItem> items, const Ema& op) {
    Batch<EmaUpdate> batch(stream_.get(), {in<float>(op.scalars), op.decay});
    for (EmaItem& item : items) {
        UpdatedTensor tensor{};
        tensor.param = out<float>(item.average);
        tensor.grad = in<float>(item.value);
        tensor.aligned = is_aligned16(tensor.param) && is_aligned16(tensor.grad);
        tensor.numel = item.average.numel();
        batch.add(tensor);
    }
    batch.launch_all();
}

void CudaBackend::clip_factor_impl(std::span<const Tensor> grads, float max_norm, Tensor& factor) {
    int64_t chunks = 0;
    for (const Tensor& grad : grads) chunks += (grad.numel() + update_chunk - 1) / update_chunk;
    Tensor partial = empty({std::max<int64_t>(2, 2 * chunks)});  // of doubles
    auto* sums = static_cast<double*>(partial.mutable_device_data());
    TensorList<SquaredTensor> list{};
    unsigned blocks = 0;
    int64_t done = 0;
    const auto launch_all = [&] {
        launch<square_sum_kernel>(blocks, block_threads, 0, stream_.get(), list, sums + done);
        done += blocks;
        list.count = 0;
        blocks = 0;
    };
    for (const Tensor& grad : grads) {
        if (grad.numel() == 0) continue;
        if (list.count == list.most) launch_all();
        list.tensors[list.count++] = {in<float>(grad), blocks, grad.numel()};
        blocks += static_cast<unsigned>((grad.numel() + update_chunk - 1) / update_chunk);
    }
    if (blocks > 0) launch_all();
    launch<clip_factor_kernel>(1, block_threads, 0, stream_.get(), sums, done, max_norm, out<float>(factor));
}

}  // namespace LETHE_CUDA
