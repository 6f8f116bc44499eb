#include "bench/labs/pgd_step.h"

#include <algorithm>
#include <cmath>

#include "bench/labs/lab.h"
#include "cuda/backend.h"
#include "tensor/error.h"

namespace LETHE_CUDA::labs {
namespace {

// A small ball, so that the projection has work at every size.
PgdStep step() {
    PgdStep op;
    op.eps = 0.5f;
    op.step = 0.4f;
    return op;
}

struct Images {
    Tensor x_adv, x, grad;
};

// The perturbation of element `at` before the projection, from the norm of its image's gradient.
double moved(const Images& images, const PgdStep& op, std::int64_t at, double grad_norm) {
    const auto value = [at](const Tensor& tensor) { return static_cast<double>(tensor.data()[at]); };
    const double stepped = value(images.x_adv) + static_cast<double>(op.step) / grad_norm * value(images.grad);
    return std::clamp(stepped, static_cast<double>(op.low), static_cast<double>(op.high)) - value(images.x);
}

Expected expected(const Images& images, const PgdStep& op, std::int64_t i) {
    const std::int64_t row = images.x.dim(1), begin = i / row * row;
    double grad_squares = 0.0, squares = 0.0;
    for (std::int64_t at = begin; at < begin + row; ++at)
        grad_squares += std::pow(static_cast<double>(images.grad.data()[at]), 2);
    const double grad_norm = std::max(std::sqrt(grad_squares), static_cast<double>(op.grad_floor));
    for (std::int64_t at = begin; at < begin + row; ++at) squares += std::pow(moved(images, op, at, grad_norm), 2);
    const double shrink = std::min(1.0, static_cast<double>(op.eps) / std::sqrt(squares));
    const auto x = static_cast<double>(images.x.data()[i]);
    const double d = shrink * moved(images, op, i, grad_norm);
    return {std::clamp(x + d, static_cast<double>(op.low), static_cast<double>(op.high)), std::hypot(x, d)};
}

Tensor near(const Tensor& x) {
    Tensor x_adv = random_values(x.shape(), 2, -0.1f, 0.1f);
    float* values = x_adv.mutable_data();
    for (std::int64_t i = 0; i < x.numel(); ++i) values[i] = std::clamp(values[i] + x.data()[i], 0.0f, 1.0f);
    return x_adv;
}

void shipped(Operands& operands, cudaStream_t /*the backend has its own*/) {
    backend(lab_device).pgd_step(operands.out[0], operands.in[0], operands.in[1], step());
}

Problem problem(const Size& size) {
    const std::int64_t count = size[0], row = size[1];
    Images images;
    images.x = random_values({count, row}, 1, 0.0f, 1.0f);
    images.x_adv = near(images.x);
    images.grad = random_values({count, row}, 3);
    const auto version = [=](auto run) {
        return [=](Operands& operands, cudaStream_t stream) {
            const PgdImages of{count, row, out<float>(operands.out[0]), in<float>(operands.in[0]),
                               in<float>(operands.in[1])};
            run(of, step(), out<float>(operands.workspace), stream);
        };
    };
    Problem problem;
    problem.size = concat(count, " images of ", row, " values");
    problem.bytes = 16.0 * static_cast<double>(count * row);
    problem.operations = 11.0 * static_cast<double>(count * row);
    problem.terms = static_cast<double>(row);
    problem.in = {images.x, images.grad};
    problem.out = {images.x_adv};
    problem.workspace = pgd_step_workspace(count, row);
    problem.oracle = [images](std::int64_t i) { return expected(images, step(), i); };
    problem.versions = {{"v1", "an operation, a kernel: five", Bound::memory, version(pgd_step_v1)},
                        {"v2", "three kernels", Bound::memory, version(pgd_step_v2)},
                        {"v3", "one kernel, a block per image", Bound::memory, version(pgd_step_v3)},
                        {"v4", "16 bytes per access", Bound::memory, version(pgd_step_v4)},
                        {"v5", "shipped: differences in shared memory", Bound::memory, shipped}};
    return problem;
}

}  // namespace

Lab pgd_step_lab() {
    return {.name = "pgd_step",
            .about = "one L2 step of projected gradient ascent, in place",
            .odd = {{1, 1}, {3, 45}, {2, 300}, {2, 1029}, {1, 8195}},
            .small = {{320, 3072}},
            .full = {{20480, 3072}, {320, 3072}},
            .problem = problem};
}

}  // namespace LETHE_CUDA::labs
