#include "cuda/backend.h"
#include "cuda/map.h"
#include "cuda/pgd_step.cuh"

namespace LETHE_CUDA {

void CudaBackend::pgd_step_impl(Tensor& x_adv, const Tensor& x, const Tensor* grad, const PgdStep& op) {
    if (x.numel() == 0) return;
    const float *xs = in<float>(x), *g = grad == nullptr ? nullptr : in<float>(*grad);
    float* to = out<float>(x_adv);
    if (op.norm == PgdStep::Norm::l2) {
        const int64_t row = x.numel() / x.dim(0), shared = pgd_shared_floats(row);
        const int threads = shared > 0 ? block_threads : 1024;
        launch<pgd_l2_kernel>(dim3(static_cast<unsigned>(x.dim(0))), threads,
                              static_cast<std::size_t>(shared) * sizeof(float), stream_.get(), to, xs, g, row, op);
    } else if (g != nullptr) {
        map(stream_.get(), x.numel(), PgdLinf{op}, to, to, xs, g);
    } else {
        map(stream_.get(), x.numel(), PgdLinf{op}, to, to, xs);
    }
}

}  // namespace LETHE_CUDA
