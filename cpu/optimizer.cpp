#include <cmath>
#include <limits>

#include "cpu/backend.h"
#include "cpu/chunks.h"

namespace lethe {
namespace {

const float* data_or_null(const Tensor& tensor) { return tensor.defined() ? tensor.data() : nullptr; }

template <class T>
T* advance(T* pointer, int64_t count) {
    return pointer == nullptr ? nullptr : pointer + count;
}

simd::Clip clip_of(const GradientClip& clip) {
    return {clip.factor.defined() ? clip.factor.data()[0] : 1.0f,
            clip.value > 0.0f ? clip.value : std::numeric_limits<float>::infinity()};
}

}  // namespace

void CpuBackend::sgd_impl(std::span<SgdItem> items, const Sgd& op) {
    const bool recorded = op.scalars.defined();
    const float lr = recorded ? op.scalars.data()[0] : op.lr;
    const float momentum = recorded ? op.scalars.data()[1] : op.momentum;
    for (SgdItem& item : items) {
        const simd::SgdFactors factors{lr,          momentum,      item.weight_decay, op.lambda,
                                       op.nesterov, op.first_step, clip_of(op.clip)};
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
    const float lr = recorded ? op.scalars.data()[2] : op.lr, beta1 = recorded ? op.scalars.data()[3] : op.beta1;
    for (AdamItem& item : items) {
        const float coupled = op.decoupled ? 0.0f : item.weight_decay;
        const float shrink = op.decoupled ? lr * item.weight_decay : 0.0f;
        const simd::AdamFactors factors{step_size, beta1,     op.beta2, correction,      op.eps,
                                        coupled,   op.lambda, shrink,   clip_of(op.clip)};
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

void CpuBackend::clip_factor_impl(std::span<const Tensor> grads, float max_norm, Tensor& factor) {
    double squares = 0.0;
    for (const Tensor& grad : grads) {
        const int64_t count = chunks_of(grad.numel(), elements_per_chunk);
        const Scratch<double> partial(std::max<int64_t>(1, count));
        for_chunks(grad.numel(), elements_per_chunk, [&](int64_t begin, int64_t end) {
            partial[begin / elements_per_chunk] = kernels_.sum_squares(grad.data() + begin, end - begin);
        });
        for (int64_t i = 0; i < count; ++i) squares += partial[i];
    }
    const double norm = std::sqrt(squares), ratio = static_cast<double>(max_norm) / (norm + 1e-6);
    factor.mutable_data()[0] = ratio > 1.0 ? 1.0f : static_cast<float>(ratio);  // NaN stays
    factor.mutable_data()[1] = static_cast<float>(norm);
}

void CpuBackend::ema_impl(std::span<EmaItem> items, const Ema& op) {
    const float share = 1.0f - (op.scalars.defined() ? op.scalars.data()[0] : op.decay);
    for (EmaItem& item : items) {
        float* average = item.average.mutable_data();
        const float* value = item.value.data();
        for_chunks(item.average.numel(), elements_per_chunk, [&](int64_t begin, int64_t end) {
            kernels_.ema(average + begin, value + begin, end - begin, share);
        });
    }
}

}  // namespace lethe
