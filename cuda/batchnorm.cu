#include "cuda/backend.h"
#include "cuda/batchnorm.cuh"
#include "cuda/map.h"

namespace LETHE_CUDA {
namespace {

int64_t pixels(const Shape& x) { return x[0] * x[2] * x[3]; }

template <class T, int Width>
void batch_statistics(const Tensor& x, const BatchNormStatistics& to, cudaStream_t stream) {
    const Columns columns = columns_for_sums(pixels(x.shape()), x.dim(1), Width);
    Partials<Moments> partial(columns, x.device());
    launch<batchnorm_moments_kernel<T, Width>>(columns.grid(), Columns::threads, 0, stream, in<T>(x), columns,
                                               partial.data());
    const Columns parts = columns_for_partials(columns.chunks(), columns.columns);
    launch<batchnorm_statistics_kernel>(parts.grid(), Columns::threads, 0, stream, partial.data(), parts, columns.rows,
                                        columns.chunk, to);
}

// Sums over the chunks of `columns`, of the chunks' sums or of their absolute values.
template <class T, int Width, bool Abs>
void gradient_sums(const Tensor& grad_y, const Tensor& mask, const Tensor& x, const BatchNormSaved& saved,
                   const Columns& columns, const BatchNormGradSums& to, cudaStream_t stream) {
    Partials<BatchNormSums> partial(columns, x.device());
    launch<batchnorm_grad_sums_kernel<T, Width>>(columns.grid(), Columns::threads, 0, stream, in<T>(grad_y),
                                                 in<T>(mask), in<T>(x), in<float>(saved.mean), columns, partial.data());
    const Columns parts = columns_for_partials(columns.chunks(), columns.columns);
    launch<batchnorm_grad_finish_kernel<Abs>>(parts.grid(), Columns::threads, 0, stream, partial.data(), parts,
                                              in<float>(saved.inv_std), to);
}

}  // namespace

Tensor CudaBackend::batchnorm_impl(const Tensor& x, const Tensor& gamma, const Tensor& beta, Tensor& running_mean,
                                   Tensor& running_var, const Tensor& residual, const BatchNorm& op,
                                   BatchNormSaved& saved) {
    const int64_t channels = x.dim(1);
    const bool update = op.batch_statistics && op.update_running;
    saved = {empty({channels}), empty({channels})};
    Tensor y = empty(x.shape(), x.dtype());
    const BatchNormStatistics to{out<float>(saved.mean),
                                 out<float>(saved.inv_std),
                                 update ? out<float>(running_mean) : nullptr,
                                 update ? out<float>(running_var) : nullptr,
                                 op.eps,
                                 op.momentum};
    const BatchNormConstants of{in<float>(gamma), in<float>(beta), to.mean, to.inv_std};
    if (!op.batch_statistics)
        launch<batchnorm_constants_kernel>(blocks_for(channels), block_threads, 0, stream_.get(),
                                           in<float>(running_mean), in<float>(running_var), channels, op.eps, to.mean,
                                           to.inv_std);
    dispatch(x.dtype(), [&]<class T>() {
        dispatch_width<T>(channels, {in<T>(x), in<T>(residual), of.gamma, of.beta}, [&]<int Width>() {
            if (op.batch_statistics) batch_statistics<T, Width>(x, to, stream_.get());
            const Columns columns = columns_for_elements(pixels(x.shape()), channels, Width);
            launch<batchnorm_apply_kernel<T, Width>>(columns.grid(), Columns::threads, 0, stream_.get(), in<T>(x),
                                                     in<T>(residual), of, op.relu, columns, out<T>(y));
        });
    });
    return y;
}

BatchNormGrads CudaBackend::batchnorm_grad_impl(const Tensor& grad_y, const Tensor& y, const Tensor& x,
                                                const Tensor& gamma, const BatchNormSaved& saved, const BatchNorm& op,
                                                bool want_x, bool want_affine, bool want_residual) {
    const int64_t channels = x.dim(1), rows = pixels(x.shape());
    const bool centered = op.batch_statistics && want_x;
    const auto if_wanted = [&](bool wanted, const Shape& shape, DType dtype = DType::float32) {
        return wanted ? empty(shape, dtype) : Tensor();
    };
    BatchNormGrads grads{if_wanted(want_x, x.shape(), x.dtype()), if_wanted(want_affine, {channels}),
                         if_wanted(want_affine, {channels}), if_wanted(want_residual, x.shape(), x.dtype())};
    Tensor slope = if_wanted(centered, {channels}), mean_grad = if_wanted(centered, {channels});
    const BatchNormGradSums sums{out<float>(grads.grad_gamma), out<float>(grads.grad_beta), out<float>(slope),
                                 out<float>(mean_grad), static_cast<double>(rows)};
    const BatchNormGradConstants of{in<float>(gamma), in<float>(saved.mean), in<float>(saved.inv_std), sums.slope,
                                    sums.mean_grad};
    const Tensor mask = op.relu ? y : Tensor();
    dispatch(x.dtype(), [&]<class T>() {
        dispatch_width<T>(
            channels, {in<T>(grad_y), in<T>(mask), in<T>(x), of.gamma, of.mean, of.inv_std}, [&]<int Width>() {
                if (centered || want_affine)
                    gradient_sums<T, Width, false>(grad_y, mask, x, saved, columns_for_sums(rows, channels, Width),
                                                   sums, stream_.get());
                if (!want_x && !want_residual) return;
                const Columns columns = columns_for_elements(rows, channels, Width);
                launch<batchnorm_grad_x_kernel<T, Width>>(columns.grid(), Columns::threads, 0, stream_.get(),
                                                          in<T>(grad_y), in<T>(mask), in<T>(x), of, columns,
                                                          out<T>(grads.grad_x), out<T>(grads.grad_residual));
            });
    });
    return grads;
}

// The sums of one sample are the partial sums of a chunk with that sample's pixels.
BatchNormGrads CudaBackend::batchnorm_grad_abs_impl(const Tensor& grad_y, const Tensor& y, const Tensor& x,
                                                    const BatchNormSaved& saved, const BatchNorm& op) {
    const int64_t channels = x.dim(1);
    BatchNormGrads grads{{}, empty({channels}), empty({channels}), {}};
    const BatchNormGradSums sums{out<float>(grads.grad_gamma), out<float>(grads.grad_beta), nullptr, nullptr, 0.0};
    const Tensor mask = op.relu ? y : Tensor();
    dispatch(x.dtype(), [&]<class T>() {
        dispatch_width<T>(channels, {in<T>(grad_y), in<T>(mask), in<T>(x), in<float>(saved.mean)}, [&]<int Width>() {
            const Columns columns = columns_for_images(x.dim(0), x.dim(2) * x.dim(3), channels, Width);
            gradient_sums<T, Width, true>(grad_y, mask, x, saved, columns, sums, stream_.get());
        });
    });
    return grads;
}

void CudaBackend::fold_batchnorm_impl(const Tensor& w, const Tensor& gamma, const Tensor& beta, const Tensor& mean,
                                      const Tensor& var, float eps, Tensor& w_folded, Tensor& b_folded) {
    const int64_t filters = w.dim(0);
    if (filters == 0) return;
    launch<fold_batchnorm_kernel>(dim3(static_cast<unsigned>(filters)), block_threads, 0, stream_.get(), in<float>(w),
                                  in<float>(gamma), in<float>(beta), in<float>(mean), in<float>(var), eps,
                                  w.numel() / filters, out<float>(w_folded), out<float>(b_folded));
}

}  // namespace LETHE_CUDA
