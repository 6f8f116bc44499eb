#include "cuda/backend.h"
#include "cuda/columns.cuh"
#include "cuda/map.h"
#include "cuda/reduce.cuh"

namespace LETHE_CUDA {

Tensor CudaBackend::sum_impl(const Tensor& x) {
    constexpr int64_t chunk = 32 * block_threads;
    const int64_t chunks = (x.numel() + chunk - 1) / chunk;
    Tensor y = empty({1}), partial = empty({2 * chunks});  // of doubles
    auto* sums = static_cast<double*>(partial.mutable_device_data());
    launch<sum_kernel>(dim3(static_cast<unsigned>(chunks)), block_threads, 0, stream_.get(), in<float>(x), x.numel(),
                       chunk, sums);
    launch<finish_sum_kernel>(1, block_threads, 0, stream_.get(), sums, chunks, out<float>(y));
    return y;
}

Tensor CudaBackend::row_norm_impl(const Tensor& x) {
    Tensor norms = empty({x.dim(0)});
    if (norms.numel() == 0) return norms;
    launch<row_norm_kernel>(dim3(static_cast<unsigned>(x.dim(0))), block_threads, 0, stream_.get(), in<float>(x),
                            x.numel() / x.dim(0), out<float>(norms));
    return norms;
}

Tensor CudaBackend::column_sum_impl(const Tensor& x) {
    Tensor y = empty({x.dim(1)});
    dispatch_width<float>(x.dim(1), {in<float>(x)}, [&]<int Width>() {
        const Columns columns = columns_for_sums(x.dim(0), x.dim(1), Width);
        Partials<double> partial(columns, device_);
        launch<column_sum_kernel<float, Width, double>>(columns.grid(), Columns::threads, 0, stream_.get(),
                                                        in<float>(x), columns, 1.0, partial.data());
        const Columns parts = columns_for_partials(columns.chunks(), columns.columns);
        launch<column_sum_kernel<double, 1, float>>(parts.grid(), Columns::threads, 0, stream_.get(), partial.data(),
                                                    parts, 1.0, out<float>(y));
    });
    return y;
}

}  // namespace LETHE_CUDA
