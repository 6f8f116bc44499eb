#include "cpu/backend.h"
#include "cpu/chunks.h"

namespace lethe {
namespace {

const float* data_or_null(const Tensor& tensor) { return tensor.defined() ? tensor.data() : nullptr; }

template <class T>
T* advance(T* pointer, int64_t count) {
    return pointer == nullptr ? nullptr : pointer + count;
}

}  // namespace

void CpuBackend::sgd_impl(std::span<SgdItem> items, const Sgd& op) {
    const float lr = op.scalars.defined() ? op.scalars.data()[0] : op.lr;
    for (SgdItem& item : items) {
        const simd::SgdFactors factors{lr, op.momentum, item.weight_decay, op.lambda, op.nesterov, op.first_step};
        const simd::SgdArrays all{item.param.mutable_data(), item.grad.data(),
                                  op.momentum != 0.0f ? item.momentum.mutable_data() : nullptr,
                                  data_or_null(item.penalty.weight), data_or_null(item.penalty.anchor)};
        for_chunks(item.param.numel(), elements_per_chunk, [&](int64_t begin, int64_t end) {
            const simd::SgdArrays part{all.param + begin, all.grad + begin, advance(all.momentum, begin),
                                       advance(all.weight, begin), advance(all.anchor, begin)};
            kernels_.sgd(part, end - begin, factors);
        });
    }
}

void CpuBackend::adam_impl(std::span<AdamItem> items, const Adam& op) {
    const bool recorded = op.scalars.defined();
    const float step_size = recorded ? op.scalars.data()[0] : op.step_size();
    const float correction = recorded ? op.scalars.data()[1] : op.inv_sqrt_correction2();
    for (AdamItem& item : items) {
        const simd::AdamFactors factors{step_size, op.beta1,          op.beta2, correction,
                                        op.eps,    item.weight_decay, op.lambda};
        const simd::AdamArrays all{item.param.mutable_data(),         item.grad.data(),
                                   item.exp_avg.mutable_data(),       item.exp_avg_sq.mutable_data(),
                                   data_or_null(item.penalty.weight), data_or_null(item.penalty.anchor)};
        for_chunks(item.param.numel(), elements_per_chunk, [&](int64_t begin, int64_t end) {
            const simd::AdamArrays part{all.param + begin,      all.grad + begin,           all.exp_avg + begin,
                                        all.exp_avg_sq + begin, advance(all.weight, begin), advance(all.anchor, begin)};
            kernels_.adam(part, end - begin, factors);
        });
    }
}

}  // namespace lethe
