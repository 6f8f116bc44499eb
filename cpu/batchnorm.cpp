#include <cmath>

#include "cpu/backend.h"
#include "cpu/channels.h"

namespace lethe {
namespace {

struct Moments {
    double mean = 0.0, m2 = 0.0;
    double count = 0.0;

    // Chan, Golub and LeVeque (1979), as in simd/channels.cpp.
    void add(double other_mean, double other_m2, double other_count) {
        if (other_count == 0.0) return;
        const double delta = other_mean - mean, total = count + other_count;
        mean += delta * other_count / total;
        m2 += other_m2 + delta * delta * count * other_count / total;
        count = total;
    }
};

// Chunk-wise statistics of every lane of the period, to be combined per channel in a fixed order.
class LaneStatistics {
public:
    LaneStatistics(int64_t numel, int64_t channels)
        : numel_(numel),
          channels_(channels),
          period_(period_of(channels)),
          chunk_(channel_chunk(period_)),
          chunks_(chunks_of(numel, chunk_)),
          values_(2 * chunks_ * period_) {}

    int64_t period() const { return period_; }
    int64_t chunk() const { return chunk_; }
    double* first(int64_t begin) const { return values_.data() + 2 * (begin / chunk_) * period_; }
    double* second(int64_t begin) const { return first(begin) + period_; }

    Moments moments(int64_t channel) const {
        Moments result;
        for (int64_t i = 0; i < chunks_; ++i) {
            const int64_t length = std::min(chunk_, numel_ - i * chunk_);
            for (int64_t j = channel; j < period_; j += channels_) {
                const int64_t samples = length / period_ + (j < length % period_ ? 1 : 0);
                result.add(first(i * chunk_)[j], second(i * chunk_)[j], static_cast<double>(samples));
            }
        }
        return result;
    }

    // Sums of the first and of the second array over everything of this channel.
    std::pair<double, double> sums(int64_t channel) const {
        double a = 0.0, b = 0.0;
        for (int64_t i = 0; i < chunks_; ++i)
            for (int64_t j = channel; j < period_; j += channels_) {
                a += first(i * chunk_)[j];
                b += second(i * chunk_)[j];
            }
        return {a, b};
    }

private:
    int64_t numel_, channels_, period_, chunk_, chunks_;
    Scratch<double> values_;
};

void update(float& running, double value, float momentum) {
    const auto share = static_cast<double>(momentum);
    running = static_cast<float>((1.0 - share) * static_cast<double>(running) + share * value);
}

}  // namespace

Tensor CpuBackend::batchnorm_impl(const Tensor& x, const Tensor& gamma, const Tensor& beta, Tensor& running_mean,
                                  Tensor& running_var, const Tensor& residual, const BatchNorm& op,
                                  BatchNormSaved& saved) {
    const int64_t channels = x.dim(1), period = period_of(channels), chunk = channel_chunk(period);
    const float* in = x.data();
    saved.mean = Tensor::empty({channels});
    saved.inv_std = Tensor::empty({channels});
    float *means = saved.mean.mutable_data(), *inv_stds = saved.inv_std.mutable_data();
    const auto eps = static_cast<double>(op.eps);
    if (op.batch_statistics) {
        const LaneStatistics lanes(x.numel(), channels);
        for_chunks(x.numel(), chunk, [&](int64_t begin, int64_t end) {
            kernels_.lane_moments(in + begin, end - begin, period, lanes.first(begin), lanes.second(begin));
        });
        float* run_mean = op.update_running ? running_mean.mutable_data() : nullptr;
        float* run_var = op.update_running ? running_var.mutable_data() : nullptr;
        for (int64_t c = 0; c < channels; ++c) {
            const Moments moments = lanes.moments(c);
            means[c] = static_cast<float>(moments.mean);
            inv_stds[c] = static_cast<float>(1.0 / std::sqrt(moments.m2 / moments.count + eps));
            if (!op.update_running) continue;
            update(run_mean[c], moments.mean, op.momentum);
            update(run_var[c], moments.m2 / (moments.count - 1.0), op.momentum);
        }
    } else {
        for (int64_t c = 0; c < channels; ++c) {
            means[c] = running_mean.data()[c];
            inv_stds[c] = static_cast<float>(1.0 / std::sqrt(static_cast<double>(running_var.data()[c]) + eps));
        }
    }
    Tensor y = Tensor::empty(x.shape());
    const Pattern mean(channels, period, [&](int64_t c) { return means[c]; });
    const Pattern scale(channels, period, [&](int64_t c) { return gamma.data()[c] * inv_stds[c]; });
    const Pattern shift(channels, period, [&](int64_t c) { return beta.data()[c]; });
    const simd::ChannelAffine affine{mean.data(), scale.data(), shift.data(), period, op.relu};
    const float* add = residual.defined() ? residual.data() : nullptr;
    float* out = y.mutable_data();
    for_chunks(x.numel(), chunk, [&](int64_t begin, int64_t end) {
        kernels_.channel_affine(in + begin, add == nullptr ? nullptr : add + begin, out + begin, end - begin, affine);
    });
    return y;
}

// With xhat = (x - mean) inv_std and M values per channel, batch statistics give (Ioffe and Szegedy, 2015)
// grad_x = gamma inv_std (g - sum(g) / M - xhat sum(g xhat) / M); constants give grad_x = gamma inv_std g.
BatchNormGrads CpuBackend::batchnorm_grad_impl(const Tensor& grad_y, const Tensor& y, const Tensor& x,
                                               const Tensor& gamma, const BatchNormSaved& saved, const BatchNorm& op,
                                               bool want_x, bool want_affine, bool want_residual) {
    const int64_t channels = x.dim(1), numel = x.numel();
    const LaneStatistics lanes(numel, channels);
    const int64_t period = lanes.period(), chunk = lanes.chunk();
    const float *g = grad_y.data(), *ys = op.relu ? y.data() : nullptr, *xs = x.data();
    const float *means = saved.mean.data(), *inv_stds = saved.inv_std.data();
    const auto masks = [&](int64_t begin) { return ys == nullptr ? nullptr : ys + begin; };
    const Pattern mean(channels, period, [&](int64_t c) { return means[c]; });
    const bool centered = op.batch_statistics && want_x;
    if (centered || want_affine)
        for_chunks(numel, chunk, [&](int64_t begin, int64_t end) {
            kernels_.batchnorm_grad_sums(g + begin, masks(begin), xs + begin, mean.data(), end - begin, period,
                                         lanes.first(begin), lanes.second(begin));
        });
    BatchNormGrads grads;
    if (want_affine) {
        grads.grad_gamma = Tensor::empty({channels});
        grads.grad_beta = Tensor::empty({channels});
        float *to_gamma = grads.grad_gamma.mutable_data(), *to_beta = grads.grad_beta.mutable_data();
        for (int64_t c = 0; c < channels; ++c) {
            const auto [sum, product] = lanes.sums(c);
            to_beta[c] = static_cast<float>(sum);
            to_gamma[c] = static_cast<float>(product * static_cast<double>(inv_stds[c]));
        }
    }
    if (!want_x && !want_residual) return grads;
    const double inverse_count = static_cast<double>(channels) / static_cast<double>(std::max<int64_t>(1, numel));
    const Pattern scale(channels, period, [&](int64_t c) { return gamma.data()[c] * inv_stds[c]; });
    const Pattern mean_grad(channels, period, [&](int64_t c) {
        return centered ? static_cast<float>(lanes.sums(c).first * inverse_count) : 0.0f;
    });
    const Pattern slope(channels, period, [&](int64_t c) {
        const auto inv_std = static_cast<double>(inv_stds[c]);
        return centered ? static_cast<float>(lanes.sums(c).second * inverse_count * inv_std * inv_std) : 0.0f;
    });
    const simd::BatchNormGradX grad_op{scale.data(), centered ? mean.data() : nullptr, mean_grad.data(), slope.data(),
                                       period};
    if (want_x) grads.grad_x = Tensor::empty(x.shape());
    if (want_residual) grads.grad_residual = Tensor::empty(x.shape());
    float* to_x = want_x ? grads.grad_x.mutable_data() : nullptr;
    float* to_residual = want_residual ? grads.grad_residual.mutable_data() : nullptr;
    for_chunks(numel, chunk, [&](int64_t begin, int64_t end) {
        kernels_.batchnorm_grad_x(g + begin, masks(begin), xs + begin, to_x == nullptr ? nullptr : to_x + begin,
                                  to_residual == nullptr ? nullptr : to_residual + begin, end - begin, grad_op);
    });
    return grads;
}

void CpuBackend::fold_batchnorm_impl(const Tensor& w, const Tensor& gamma, const Tensor& beta, const Tensor& mean,
                                     const Tensor& var, float eps, Tensor& w_folded, Tensor& b_folded) {
    const int64_t channels = w.dim(0), per_channel = w.numel() / std::max<int64_t>(1, channels);
    const float *from = w.data(), *gammas = gamma.data(), *betas = beta.data();
    const float *means = mean.data(), *vars = var.data();
    float *to = w_folded.mutable_data(), *bias = b_folded.mutable_data();
    for (int64_t k = 0; k < channels; ++k) {
        const double factor = double{gammas[k]} / std::sqrt(double{vars[k]} + double{eps});
        for (int64_t i = k * per_channel; i < (k + 1) * per_channel; ++i)
            to[i] = static_cast<float>(double{from[i]} * factor);
        bias[k] = static_cast<float>(double{betas[k]} - double{means[k]} * factor);
    }
}

}  // namespace lethe
