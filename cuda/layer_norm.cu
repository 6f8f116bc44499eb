#include "cuda/backend.h"
#include "cuda/launch.h"
#include "cuda/layer_norm.cuh"

namespace LETHE_CUDA {

Tensor CudaBackend::layer_norm_impl(const Tensor& x, const Tensor& gamma, const Tensor& beta, float eps,
                                    LayerNormSaved& saved) {
    const int64_t rows = x.as_matrix().dim(0), features = gamma.dim(0);
    Tensor y = empty(x.shape());
    saved = {empty({rows}), empty({rows})};
    launch<layer_norm_kernel>(blocks_for_rows(rows), row_threads, 0, stream_.get(), in<float>(x), in<float>(gamma),
                              in<float>(beta), eps, rows, features, out<float>(y), out<float>(saved.mean),
                              out<float>(saved.inv_std));
    return y;
}

LayerNormGrads CudaBackend::layer_norm_grad_impl(const Tensor& grad_y, const Tensor& x, const Tensor& gamma,
                                                 const LayerNormSaved& saved, bool want_x, bool want_affine) {
    const int64_t rows = saved.mean.dim(0), features = gamma.dim(0);
    LayerNormGrads grads;
    if (want_x) {
        grads.grad_x = empty(x.shape());
        launch<layer_norm_grad_x_kernel>(blocks_for_rows(rows), row_threads, 0, stream_.get(), in<float>(grad_y),
                                         in<float>(x), in<float>(gamma), in<float>(saved.mean),
                                         in<float>(saved.inv_std), rows, features, out<float>(grads.grad_x));
    }
    if (!want_affine) return grads;
    grads.grad_beta = column_sum_impl(grad_y.as_matrix());
    grads.grad_gamma = empty({features});
    dispatch_width<float>(features, {in<float>(grad_y), in<float>(x)}, [&]<int Width>() {
        const Columns columns = columns_for_sums(rows, features, Width);
        Partials<double> partial(columns, device_);
        launch<layer_norm_grad_gamma_kernel<Width>>(columns.grid(), Columns::threads, 0, stream_.get(),
                                                    in<float>(grad_y), in<float>(x), in<float>(saved.mean),
                                                    in<float>(saved.inv_std), columns, partial.data());
        const Columns parts = columns_for_partials(columns.chunks(), features);
        launch<column_sum_kernel<double, 1, float>>(parts.grid(), Columns::threads, 0, stream_.get(), partial.data(),
                                                    parts, 1.0, out<float>(grads.grad_gamma));
    });
    return grads;
}

}  // namespace LETHE_CUDA
