#include "bench/labs/conv2d.h"

#include <cmath>

#include "bench/labs/convolution.h"
#include "cuda/backend.h"

namespace LETHE_CUDA::labs {
namespace {

Expected expected(const Layer& layer, const Tensor& x, const Tensor& w, std::int64_t i) {
    const ConvGeometry& g = layer.geometry;
    const std::int64_t filter = i % g.filters, pixel = i / g.filters, q = pixel % g.out_width;
    const std::int64_t p = pixel / g.out_width % g.out_height, image = pixel / g.out_width / g.out_height;
    double sum = 0.0, squares = 0.0;
    for (std::int64_t r = 0; r < g.rows; ++r)
        for (std::int64_t s = 0; s < g.columns; ++s) {
            const std::int64_t at = seen_at(g, image, p, q, r, s);
            if (at < 0) continue;
            const float *pixels = x.data() + at,
                        *weights = w.data() + ((filter * g.rows + r) * g.columns + s) * g.channels;
            for (std::int64_t c = 0; c < g.channels; ++c) {
                const double product = static_cast<double>(pixels[c]) * static_cast<double>(weights[c]);
                sum += product;
                squares += product * product;
            }
        }
    return {sum, std::sqrt(squares)};
}

Vendor cudnn(std::string name, Bound bound, Precision precision, const Conv2d& op) {
    return {std::move(name), bound, true, [=](VendorLibraries* libraries, Operands& operands, cudaStream_t) {
                return libraries != nullptr && libraries->conv2d(operands.in[0], operands.in[1], Tensor(), Tensor(),
                                                                 false, op, precision, operands.out[0]);
            }};
}

Problem problem(const Size& size) {
    const Layer layer(size);
    const Tensor x = random_values(layer.x, 1), w = random_values(layer.w, 2);
    const auto version = [geometry = layer.geometry](auto run) {
        return [=](Operands& operands, cudaStream_t stream) {
            run(geometry, in<float>(operands.in[0]), in<float>(operands.in[1]), out<float>(operands.out[0]), stream);
        };
    };
    Problem problem;
    problem.size = layer.describe();
    problem.bytes = 4.0 * static_cast<double>(x.numel() + w.numel() + layer.y.numel());
    problem.operations = layer.operations();
    problem.terms = static_cast<double>(w.numel() / w.dim(0));
    problem.in = {x, w};
    problem.out = {unwritten(layer.y)};
    problem.oracle = [=](std::int64_t i) { return expected(layer, x, w, i); };
    problem.versions = {
        {"v1", "a thread per output", Bound::fp32, version(conv2d_v1)},
        {"v2", "tiles in shared memory", Bound::fp32, version(conv2d_v2)},
        {"v3", "shipped, strict: implicit matrix product", Bound::fp32, version(conv2d_v3)},
        {"v4", "shipped, TF32: tensor cores", Bound::tf32, version(conv2d_v4)},
        {"v5", "shipped for few channels, TF32: straight from the images", Bound::tf32, version(conv2d_v5)}};
    problem.vendors = {cudnn("cuDNN", Bound::fp32, Precision::strict, layer.op),
                       cudnn("cuDNN, TF32", Bound::tf32, Precision::tf32, layer.op)};
    return problem;
}

}  // namespace

Lab conv2d_lab() {
    return {
        .name = "conv2d",
        .about = "y [N,K,P,Q] = x [N,C,H,W] * w [K,C,R,S]",
        .odd = {{1, 1, 1, 1, 1, 1}, {2, 3, 5, 7, 3, 1}, {1, 16, 6, 33, 3, 2}, {2, 5, 4, 3, 1, 2}, {3, 16, 9, 32, 3, 1}},
        .small = {{32, 16, 32, 16, 3, 1}},
        .full = {{128, 64, 32, 64, 3, 1}, {512, 16, 32, 16, 3, 1}, {512, 32, 16, 32, 3, 1}},
        .problem = problem};
}

}  // namespace LETHE_CUDA::labs
