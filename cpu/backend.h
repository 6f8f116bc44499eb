// The CPU backend: oneDNN and own kernels over the thread pool. Which thread computes what never changes a bit: work is
// cut into fixed chunks, and sums over chunks are added in the chunks' order.
#pragma once

#include <cstring>

#include "cpu/conv2d_pack.h"
#include "cpu/conv2d_plan.h"
#include "cpu/packed_weights.h"
#include "cpu/simd.h"
#include "tensor/backend.h"

namespace lethe {

class CpuBackend : public Backend {
public:
    CpuBackend() : kernels_(simd::kernels()) {}
    std::string description() const override;
    Device device() const override { return Device::cpu; }

    void* allocate(std::size_t bytes) override { return CachingAllocator::cpu().allocate(bytes); }
    void release(void* block, std::size_t bytes) noexcept override { CachingAllocator::cpu().release(block, bytes); }
    void copy_from_host(void* to, const void* from, std::size_t bytes) override { copy_within(to, from, bytes); }
    void copy_to_host(void* to, const void* from, std::size_t bytes) override { copy_within(to, from, bytes); }
    void copy_within(void* to, const void* from, std::size_t bytes) override { std::memmove(to, from, bytes); }
    void zero(void* block, std::size_t bytes) override { std::memset(block, 0, bytes); }
    CachingAllocator& allocator() override { return CachingAllocator::cpu(); }
    void trim() override {
        packed_.forget_gone();
        CachingAllocator::cpu().trim();
    }

protected:
    Tensor conv2d_impl(const Tensor& x, const Tensor& w, const Conv2d& op) override;
    Tensor conv2d_grad_x_impl(const Tensor& grad_y, const Tensor& w, const Shape& x, const Conv2d& op) override;
    Tensor conv2d_grad_w_impl(const Tensor& grad_y, const Tensor& x, const Shape& w, const Conv2d& op) override;
    Tensor conv2d_fused_impl(const Tensor& x, const Tensor& w, const Tensor& bias, const Tensor& residual, bool relu,
                             const Conv2d& op) override;
    Tensor batchnorm_impl(const Tensor& x, const Tensor& gamma, const Tensor& beta, Tensor& running_mean,
                          Tensor& running_var, const Tensor& residual, const BatchNorm& op,
                          BatchNormSaved& saved) override;
    BatchNormGrads batchnorm_grad_impl(const Tensor& grad_y, const Tensor& y, const Tensor& x, const Tensor& gamma,
                                       const BatchNormSaved& saved, const BatchNorm& op, bool want_x, bool want_affine,
                                       bool want_residual) override;
    void fold_batchnorm_impl(const Tensor& w, const Tensor& gamma, const Tensor& beta, const Tensor& mean,
                             const Tensor& var, float eps, Tensor& w_folded, Tensor& b_folded) override;
    Tensor max_pool2d_impl(const Tensor& x, const Pool2d& op, Tensor& argmax) override;
    Tensor max_pool2d_grad_impl(const Tensor& grad_y, const Tensor& argmax, const Shape& x, const Pool2d& op) override;
    Tensor avg_pool2d_impl(const Tensor& x, const Pool2d& op) override;
    Tensor avg_pool2d_grad_impl(const Tensor& grad_y, const Shape& x, const Pool2d& op) override;
    Tensor global_avg_pool_impl(const Tensor& x) override;
    Tensor global_avg_pool_grad_impl(const Tensor& grad_y, const Shape& x, DType dtype) override;
    Tensor linear_impl(const Tensor& x, const Tensor& w, const Tensor& b) override;
    Tensor linear_grad_x_impl(const Tensor& grad_y, const Tensor& w) override;
    Tensor linear_grad_w_impl(const Tensor& grad_y, const Tensor& x) override;
    Tensor column_sum_impl(const Tensor& x) override;
    Tensor tokens_impl(const Tensor& patches, const Tensor& class_token, const Tensor& position) override;
    Tensor tokens_grad_impl(const Tensor& grad_y, const Shape& patches, DType dtype) override;
    Tensor layer_norm_impl(const Tensor& x, const Tensor& gamma, const Tensor& beta, float eps,
                           LayerNormSaved& saved) override;
    LayerNormGrads layer_norm_grad_impl(const Tensor& grad_y, const Tensor& x, const Tensor& gamma,
                                        const LayerNormSaved& saved, bool want_x, bool want_affine) override;
    Tensor attention_impl(const Tensor& qkv, int64_t heads, Tensor* probabilities) override;
    Tensor attention_grad_impl(const Tensor& grad_y, const Tensor& qkv, int64_t heads,
                               const Tensor& probabilities) override;
    Tensor dropout_factors_impl(const Shape& shape, const Dropout& op) override;
    Tensor shortcut_a_impl(const Tensor& x, int64_t channels, int64_t stride) override;
    Tensor shortcut_a_grad_impl(const Tensor& grad_y, const Shape& x, int64_t stride) override;
    void copy_channels_impl(const Tensor& from, int64_t from_begin, Tensor& to, int64_t to_begin,
                            int64_t count) override;
    Tensor normalize_impl(const Tensor& x, const Tensor& mean, const Tensor& std) override;
    Tensor normalize_grad_impl(const Tensor& grad_y, const Tensor& std) override;
    Tensor softmax_cross_entropy_impl(const Tensor& logits, const Tensor& labels, Tensor& probabilities,
                                      const CrossEntropy& op) override;
    Tensor softmax_cross_entropy_grad_impl(const Tensor& grad_loss, const Tensor& probabilities, const Tensor& labels,
                                           const CrossEntropy& op) override;
    Tensor log_odds_grad_impl(const Tensor& logits, const Tensor& labels, const Tensor& active, float weight) override;
    Tensor unary_impl(Unary op, const Tensor& x) override;
    Tensor unary_grad_impl(Unary op, const Tensor& grad_y, const Tensor& x, const Tensor& y) override;
    Tensor binary_impl(Binary op, const Tensor& a, const Tensor& b) override;
    Tensor binary_grad_impl(Binary op, bool second, const Tensor& grad_y, const Tensor& a, const Tensor& b,
                            const Tensor& y) override;
    Tensor cast_impl(const Tensor& x, DType dtype) override;
    void fill_impl(Tensor& x, float value) override;
    void increment_impl(Tensor& counter) override;
    void fill_uniform_impl(Tensor& x, const Random& random, uint64_t first_item, float low, float range) override;
    void crop_flip_impl(Tensor& images, std::span<const CropFlip> placements) override;
    Tensor nchw_to_nhwc_impl(const Tensor& matrix, const Shape& shape) override;
    Tensor nhwc_to_nchw_impl(const Tensor& x) override;
    void set_scalars_impl(Tensor& scalars, std::span<const float> values) override;
    Tensor scale_impl(const Tensor& x, float factor) override;
    void axpy_impl(float factor, const Tensor& x, Tensor& y) override;
    void abs_accumulate_impl(float factor, const Tensor& x, Tensor& y) override;
    Tensor relu_mask_add_impl(const Tensor& a, const Tensor& b, const Tensor& y) override;
    Tensor sum_impl(const Tensor& x) override;
    Tensor row_norm_impl(const Tensor& x) override;
    Tensor row_scale_impl(const Tensor& x, const Tensor& factor) override;
    void pgd_step_impl(Tensor& x_adv, const Tensor& x, const Tensor* grad, const PgdStep& op) override;
    void sgd_impl(std::span<SgdItem> items, const Sgd& op) override;
    void adam_impl(std::span<AdamItem> items, const Adam& op) override;
    void clip_factor_impl(std::span<const Tensor> grads, float max_norm, Tensor& factor) override;
    void ema_impl(std::span<EmaItem> items, const Ema& op) override;

private:
    // cpu/conv2d_depthwise.cpp
    Tensor depthwise_conv2d(const Tensor& x, const Tensor& w, const Tensor& bias, const Tensor& residual, bool relu,
                            const Conv2d& op);
    Tensor depthwise_grad_x(const Tensor& grad_y, const Tensor& w, const Shape& x, const Conv2d& op);
    Tensor depthwise_grad_w(const Tensor& grad_y, const Tensor& x, const Shape& w, const Conv2d& op);
    // cpu/conv2d_winograd.cpp, cpu/conv2d_rows.cpp: whole batches; op.residual is that of the first image.
    void winograd(const float* x, const float* packed, float* y, int64_t images, const simd::ConvImage& op);
    void rows_conv2d(const float* x, const float* packed, float* y, int64_t images, const simd::ConvImage& op);
    // op is that of the forward pass.
    void rows_grad_x(const float* grad_y, const float* packed, float* grad_x, int64_t images,
                     const simd::ConvImage& op);
    const float* packed_weights(const Tensor& w, Packing packing);
    const float* packed_weights(const Tensor& w, const ConvPlan& plan);

    const simd::Kernels& kernels_;
    ConvPlans plans_;
    PackedWeights packed_;
};

}  // namespace lethe
