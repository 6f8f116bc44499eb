#include "bench/labs/batchnorm.h"

#include <cmath>
#include <utility>

#include "bench/labs/lab.h"
#include "cuda/backend.h"

namespace LETHE_CUDA::labs {
namespace {

constexpr float eps = 1e-5f;

struct Layer {
    Tensor x, gamma, beta;

    std::int64_t channels() const { return x.dim(1); }
    std::int64_t pixels() const { return x.numel() / channels(); }
};

struct Statistics {
    double mean, root_mean_square, inv_std;
};

// Of every channel, in the order of memory.
std::vector<Statistics> statistics(const Layer& layer) {
    const auto channels = static_cast<std::size_t>(layer.channels());
    const auto count = static_cast<double>(layer.pixels());
    std::vector<double> sums(channels), squares(channels), distances(channels);
    std::size_t c = 0;
    const auto next = [&] { return std::exchange(c, c + 1 < channels ? c + 1 : 0); };
    for (const float value : layer.x.values()) {
        const auto x = static_cast<double>(value);
        const std::size_t channel = next();
        sums[channel] += x;
        squares[channel] += x * x;
    }
    for (const float value : layer.x.values()) {
        const std::size_t channel = next();
        const double distance = static_cast<double>(value) - sums[channel] / count;
        distances[channel] += distance * distance;
    }
    std::vector<Statistics> all;
    for (std::size_t channel = 0; channel < channels; ++channel)
        all.push_back({sums[channel] / count, std::sqrt(squares[channel] / count),
                       1.0 / std::sqrt(distances[channel] / count + static_cast<double>(eps))});
    return all;
}

// The results are y, the means and the inverse standard deviations.
Expected expected(const Layer& layer, const std::vector<Statistics>& of, std::int64_t i) {
    const std::int64_t size = layer.x.numel();
    const auto channel = static_cast<std::size_t>(i % layer.channels());  // size is a multiple of it
    const Statistics& s = of[channel];
    if (i >= size + layer.channels()) return {s.inv_std, s.inv_std};
    if (i >= size) return {s.mean, s.root_mean_square / std::sqrt(static_cast<double>(layer.pixels()))};
    const double scale = static_cast<double>(layer.gamma.data()[channel]) * s.inv_std;
    const auto x = static_cast<double>(layer.x.data()[i]), beta = static_cast<double>(layer.beta.data()[channel]);
    return {scale * (x - s.mean) + beta, std::hypot(scale * x, scale * s.mean, beta)};
}

void shipped(Operands& operands, cudaStream_t /*the backend has its own*/) {
    BatchNorm op;
    op.eps = eps;
    op.batch_statistics = true;
    op.update_running = false;
    BatchNormSaved saved;
    Tensor no_mean = operands.in[2], no_var = operands.in[1];  // neither read nor written with batch statistics
    operands.out[0] =
        backend(lab_device)
            .batchnorm(operands.in[0], operands.in[1], operands.in[2], no_mean, no_var, Tensor(), op, saved);
    operands.out[1] = saved.mean;
    operands.out[2] = saved.inv_std;
}

Problem problem(const Size& size) {
    const std::int64_t n = size[0], c = size[1], side = size[2];
    // A mean worth subtracting.
    const Layer layer{random_values({n, c, side, side}, 1, 0.0f, 4.0f), random_values({c}, 2), random_values({c}, 3)};
    const auto version = [pixels = layer.pixels(), c](auto run) {
        return [=](Operands& operands, cudaStream_t stream) {
            run(BatchNormArrays{pixels, c, eps, in<float>(operands.in[0]), in<float>(operands.in[1]),
                                in<float>(operands.in[2]), out<float>(operands.out[0]), out<float>(operands.out[1]),
                                out<float>(operands.out[2]), out<float>(operands.workspace)},
                stream);
        };
    };
    Problem problem;
    problem.size = concat("x ", layer.x.shape());
    problem.bytes = 12.0 * static_cast<double>(layer.x.numel());
    problem.operations = 7.0 * static_cast<double>(layer.x.numel());
    problem.terms = static_cast<double>(layer.pixels());
    problem.in = {layer.x, layer.gamma, layer.beta};
    problem.out = {unwritten(layer.x.shape()), unwritten({c}), unwritten({c})};
    problem.workspace = batchnorm_workspace(layer.pixels(), c);
    problem.oracle = [layer, of = statistics(layer)](std::int64_t i) { return expected(layer, of, i); };
    problem.versions = {{"v1", "a block per channel, two passes", Bound::memory, version(batchnorm_v1)},
                        {"v2", "neighbouring threads, neighbouring channels", Bound::memory, version(batchnorm_v2)},
                        {"v3", "statistics in one pass over shifted values", Bound::memory, version(batchnorm_v3)},
                        {"v4", "shipped: four channels per thread", Bound::memory, shipped}};
    return problem;
}

}  // namespace

Lab batchnorm_lab() {
    return {.name = "batchnorm",
            .about = "statistics of a batch x [N,C,H,W], and y = gamma (x - mean) / sqrt(var + eps) + beta",
            .odd = {{2, 1, 1}, {2, 3, 5}, {3, 33, 4}, {2, 12, 9}, {2, 132, 3}},
            .small = {{128, 16, 32}},
            .full = {{1024, 64, 32}, {512, 16, 32}},
            .problem = problem};
}

}  // namespace LETHE_CUDA::labs
