// The L2 step of projected gradient ascent in five steps: each row of x_adv moves along its gradient and back into the
// ball around x and the box, in place (see PgdStep). What each version changes is said in bench/labs/pgd_step.cuh. The
// last version is CudaBackend::pgd_step.
#pragma once

#include "cuda/target.h"
#include "tensor/ops.h"

namespace LETHE_CUDA::labs {

// Arrays of `images` rows of `row` floats.
struct PgdImages {
    std::int64_t images, row;
    float* x_adv;
    const float *x, *grad;
};

// Floats that any version may need as workspace.
std::int64_t pgd_step_workspace(std::int64_t images, std::int64_t row);

void pgd_step_v1(const PgdImages& of, const PgdStep& op, float* workspace, cudaStream_t stream);
void pgd_step_v2(const PgdImages& of, const PgdStep& op, float* workspace, cudaStream_t stream);
void pgd_step_v3(const PgdImages& of, const PgdStep& op, float* workspace, cudaStream_t stream);
void pgd_step_v4(const PgdImages& of, const PgdStep& op, float* workspace, cudaStream_t stream);

}  // namespace LETHE_CUDA::labs
