#include "cpu/backend.h"
#include "cpu/chunks.h"

namespace lethe {

void CpuBackend::pgd_step_impl(Tensor& x_adv, const Tensor& x, const Tensor* grad, const PgdStep& op) {
    if (x.numel() == 0) return;
    const simd::Pgd step{op.norm == PgdStep::Norm::l2,
                         op.order == PgdStep::Order::box_then_ball,
                         op.eps,
                         op.step,
                         op.low,
                         op.high,
                         op.grad_floor};
    const int64_t image = x.numel() / x.dim(0);
    const float *xs = x.data(), *g = grad == nullptr ? nullptr : grad->data();
    float* to = x_adv.mutable_data();
    for_chunks(x.dim(0), images_per_chunk, [&](int64_t begin, int64_t end) {
        for (int64_t n = begin; n < end; ++n)
            kernels_.pgd_step(to + n * image, xs + n * image, g == nullptr ? nullptr : g + n * image, image, step);
    });
}

}  // namespace lethe
