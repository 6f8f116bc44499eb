#include "bench/labs/pgd_step.cuh"
#include "bench/labs/pgd_step.h"
#include "cuda/map.h"

namespace LETHE_CUDA::labs {
namespace {

unsigned a_block_per_image(const PgdImages& of) { return static_cast<unsigned>(of.images); }

template <int width>
void fused(const PgdImages& of, const PgdStep& op, cudaStream_t stream) {
    launch<fused_kernel<width>>(a_block_per_image(of), block_threads, 0, stream, of.x_adv, of.x, of.grad, of.row, op);
}

}  // namespace

std::int64_t pgd_step_workspace(std::int64_t images, std::int64_t row) { return images * (row + 2); }

void pgd_step_v1(const PgdImages& of, const PgdStep& op, float* workspace, cudaStream_t stream) {
    const std::int64_t n = of.images * of.row;
    float *difference = workspace, *grad_norm = workspace + n, *norm = grad_norm + of.images;
    const dim3 rows = a_block_per_image(of), elements = blocks_for(n);
    launch<row_norm_kernel>(rows, block_threads, 0, stream, of.grad, of.row, grad_norm);
    launch<step_kernel>(elements, block_threads, 0, stream, of.grad, grad_norm, n, of.row, op, of.x_adv);
    launch<difference_kernel>(elements, block_threads, 0, stream, of.x_adv, of.x, n, difference);
    launch<row_norm_kernel>(rows, block_threads, 0, stream, difference, of.row, norm);
    launch<project_kernel>(elements, block_threads, 0, stream, difference, of.x, norm, n, of.row, op, of.x_adv);
}

void pgd_step_v2(const PgdImages& of, const PgdStep& op, float* workspace, cudaStream_t stream) {
    const std::int64_t n = of.images * of.row;
    float *grad_norm = workspace, *norm = workspace + of.images;
    const dim3 rows = a_block_per_image(of);
    launch<row_norm_kernel>(rows, block_threads, 0, stream, of.grad, of.row, grad_norm);
    launch<step_and_norm_kernel>(rows, block_threads, 0, stream, of.x, of.grad, grad_norm, of.row, op, of.x_adv, norm);
    launch<project_kernel>(blocks_for(n), block_threads, 0, stream, of.x_adv, of.x, norm, n, of.row, op, of.x_adv);
}

void pgd_step_v3(const PgdImages& of, const PgdStep& op, float* /*workspace*/, cudaStream_t stream) {
    fused<1>(of, op, stream);
}

void pgd_step_v4(const PgdImages& of, const PgdStep& op, float* /*workspace*/, cudaStream_t stream) {
    if (of.row % 4 == 0)
        fused<4>(of, op, stream);
    else
        fused<1>(of, op, stream);
}

}  // namespace LETHE_CUDA::labs
