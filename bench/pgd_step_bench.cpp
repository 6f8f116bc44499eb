// The attack's update of images: norm, step, box, ball in one call.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <vector>

#include "bench/support/ceiling.h"
#include "bench/support/inputs.h"

namespace lethe::bench {
namespace {

// One image's step in double, box first, then ball, then box.
std::vector<double> expected_image(const Tensor& start, const Tensor& x, const Tensor& grad, const PgdStep& op) {
    const int64_t size = x.numel() / x.dim(0);
    const auto at = [](const Tensor& t, int64_t i) { return static_cast<double>(t.data()[i]); };
    const bool l2 = op.norm == PgdStep::Norm::l2;
    double norm = 0, length = 0;
    for (int64_t i = 0; i < size; ++i) norm += at(grad, i) * at(grad, i);
    norm = std::sqrt(norm);
    std::vector<double> d;
    for (int64_t i = 0; i < size; ++i) {
        const double move = l2 ? at(grad, i) / norm : (at(grad, i) > 0 ? 1.0 : -1.0);
        d.push_back(std::clamp(at(start, i) + static_cast<double>(op.step) * move, 0.0, 1.0) - at(x, i));
        length += d.back() * d.back();
    }
    const auto eps = static_cast<double>(op.eps);
    const double shrink = std::min(1.0, eps / std::sqrt(length));
    for (int64_t i = 0; i < size; ++i) {
        double& value = d[static_cast<std::size_t>(i)];
        value = std::clamp(at(x, i) + (l2 ? value * shrink : std::clamp(value, -eps, eps)), 0.0, 1.0);
    }
    return d;
}

void pgd_step(benchmark::State& state, PgdStep::Norm norm) {
    const Shape shape{state.range(0), 3, state.range(1), state.range(1)};
    const Tensor x = backend(Device::cpu).unary(Unary::square, random_values(shape, 1));  // in [0, 1]
    const Tensor start = backend(Device::cpu).unary(Unary::square, random_values(shape, 2));
    const Tensor grad = random_values(shape, 3);
    PgdStep op;
    op.norm = norm;
    if (norm == PgdStep::Norm::linf) {
        op.eps = 8.0f / 255.0f;
        op.step = 2.0f / 255.0f;
    }
    Tensor x_adv = start.clone();
    backend(x).pgd_step(x_adv, x, grad, op);
    const std::vector<double> expected = expected_image(start, x, grad, op);
    for (std::size_t i = 0; i < expected.size(); ++i)
        if (!agrees(state, "x_adv", static_cast<double>(x_adv.data()[i]), expected[i], 1e-6)) return;
    for (auto _ : state) backend(x).pgd_step(x_adv, x, grad, op);
    report_bytes(state, 4.0 * static_cast<double>(x.numel()) * sizeof(float));  // x_adv read and written, x, grad
}

BENCHMARK_CAPTURE(pgd_step, l2, PgdStep::Norm::l2)->Args({16, 32})->Args({320, 32})->Args({16, 224});
BENCHMARK_CAPTURE(pgd_step, linf, PgdStep::Norm::linf)->Args({16, 32})->Args({320, 32})->Args({16, 224});

}  // namespace
}  // namespace lethe::bench
