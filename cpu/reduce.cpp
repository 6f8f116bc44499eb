#include <cmath>

#include "cpu/backend.h"
#include "cpu/channels.h"

namespace lethe {

Tensor CpuBackend::sum_impl(const Tensor& x) {
    const int64_t count = chunks_of(x.numel(), elements_per_chunk);
    const Scratch<double> partial(std::max<int64_t>(1, count));
    const float* in = x.data();
    for_chunks(x.numel(), elements_per_chunk, [&](int64_t begin, int64_t end) {
        partial[begin / elements_per_chunk] = kernels_.sum(in + begin, end - begin);
    });
    double total = 0.0;
    for (int64_t i = 0; i < count; ++i) total += partial[i];
    return Tensor::full({1}, static_cast<float>(total));
}

Tensor CpuBackend::row_norm_impl(const Tensor& x) {
    Tensor norms = Tensor::empty({x.dim(0)});
    if (norms.numel() == 0) return norms;
    const int64_t row = x.numel() / x.dim(0);
    const float* in = x.data();
    float* out = norms.mutable_data();
    for_chunks(x.dim(0), images_per_chunk, [&](int64_t begin, int64_t end) {
        for (int64_t n = begin; n < end; ++n)
            out[n] = static_cast<float>(std::sqrt(kernels_.sum_squares(in + n * row, row)));
    });
    return norms;
}

Tensor CpuBackend::row_scale_impl(const Tensor& x, const Tensor& factor) {
    Tensor y = Tensor::empty(x.shape());
    if (y.numel() == 0) return y;
    const int64_t row = x.numel() / x.dim(0);
    const float *in = x.data(), *factors = factor.data();
    float* out = y.mutable_data();
    for_chunks(x.dim(0), images_per_chunk, [&](int64_t begin, int64_t end) {
        for (int64_t n = begin; n < end; ++n) kernels_.scale(in + n * row, factors[n], out + n * row, row);
    });
    return y;
}

Tensor CpuBackend::column_sum_impl(const Tensor& x) {
    const int64_t columns = x.dim(1), period = period_of(std::max<int64_t>(1, columns)), chunk = channel_chunk(period);
    const int64_t count = chunks_of(x.numel(), chunk);
    const Scratch<double> partial(std::max<int64_t>(1, count) * period);
    const float* in = x.data();
    for_chunks(x.numel(), chunk, [&](int64_t begin, int64_t end) {
        kernels_.lane_sums(in + begin, end - begin, period, partial.data() + begin / chunk * period);
    });
    Tensor sums = Tensor::empty({columns});
    float* out = sums.mutable_data();
    for (int64_t c = 0; c < columns; ++c) {
        double total = 0.0;
        for (int64_t i = 0; i < count; ++i)
            for (int64_t j = c; j < period; j += columns) total += partial[i * period + j];
        out[c] = static_cast<float>(total);
    }
    return sums;
}

}  // namespace lethe
