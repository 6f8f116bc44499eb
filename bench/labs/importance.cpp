#include "bench/labs/importance.h"

#include <cmath>

#include "bench/labs/convolution.h"
#include "cuda/backend.h"

namespace LETHE_CUDA::labs {
namespace {

// Of weight i [K,R,S,C]: the sum over the images of |sum over the pixels of grad_y x|.
Expected expected(const ConvGeometry& g, const Tensor& grad_y, const Tensor& x, std::int64_t i) {
    const std::int64_t c = i % g.channels, s = i / g.channels % g.columns, r = i / g.channels / g.columns % g.rows;
    const std::int64_t filter = i / g.channels / g.columns / g.rows;
    double total = 0.0, squares = 0.0;
    for (std::int64_t image = 0; image < g.images; ++image) {
        double sum = 0.0;
        for (std::int64_t p = 0; p < g.out_height; ++p)
            for (std::int64_t q = 0; q < g.out_width; ++q) {
                const std::int64_t at = seen_at(g, image, p, q, r, s);
                if (at < 0) continue;
                const std::int64_t pixel = (image * g.out_height + p) * g.out_width + q;
                const double product = static_cast<double>(x.data()[at + c]) *
                                       static_cast<double>(grad_y.data()[pixel * g.filters + filter]);
                sum += product;
                squares += product * product;
            }
        total += std::abs(sum);
    }
    return {total, std::sqrt(squares)};
}

Problem problem(const Size& size) {
    const Layer layer(size);
    const Tensor x = random_values(layer.x, 1), grad_y = random_values(layer.y, 2);
    const auto version = [geometry = layer.geometry](auto run) {
        return [=](Operands& operands, cudaStream_t stream) {
            run(geometry, in<float>(operands.in[0]), in<float>(operands.in[1]), out<float>(operands.workspace),
                out<float>(operands.out[0]), stream);
        };
    };
    Problem problem;
    problem.size = layer.describe();
    problem.bytes = 4.0 * static_cast<double>(layer.x.numel() + layer.w.numel() + layer.y.numel());
    problem.operations = layer.operations();
    problem.terms = static_cast<double>(layer.y.numel() / layer.y[1]);
    problem.in = {grad_y, x};
    problem.out = {unwritten(layer.w)};
    problem.workspace = importance_workspace(layer.geometry);
    problem.oracle = [=](std::int64_t i) { return expected(layer.geometry, grad_y, x, i); };
    problem.versions = {{"v1", "image by image through memory", Bound::fp32, version(importance_v1)},
                        {"v2", "one kernel, a thread per weight", Bound::fp32, version(importance_v2)},
                        {"v3", "shipped: tiles, sums in registers", Bound::fp32, version(importance_v3)}};
    // No library takes absolute values per image: beside it stands the gradient of the whole batch.
    problem.vendors = {
        {"cuDNN, plain gradient", Bound::fp32, false, [op = layer.op](auto* libraries, Operands& operands, auto) {
             return libraries != nullptr &&
                    libraries->conv2d_grad_w(operands.in[0], operands.in[1], op, Precision::strict, operands.out[0]);
         }}};
    return problem;
}

}  // namespace

Lab importance_lab() {
    return {.name = "importance",
            .about = "sum over the images of |gradient for the weights of a convolution|",
            .odd = {{1, 1, 1, 1, 1, 1}, {3, 3, 5, 7, 3, 1}, {2, 16, 5, 18, 3, 2}, {5, 5, 4, 3, 1, 1}},
            .small = {{32, 16, 32, 16, 3, 1}},
            .full = {{32, 64, 32, 64, 3, 1}, {128, 16, 32, 16, 3, 1}, {128, 512, 4, 512, 3, 1}},
            .problem = problem};
}

}  // namespace LETHE_CUDA::labs
