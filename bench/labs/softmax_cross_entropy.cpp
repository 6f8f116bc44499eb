#include "bench/labs/softmax_cross_entropy.h"

#include <algorithm>
#include <cmath>

#include "bench/labs/lab.h"
#include "cuda/backend.h"
#include "tensor/error.h"

namespace LETHE_CUDA::labs {
namespace {

// The results are the probabilities [N,C] and the losses [N].
Expected expected(const Tensor& logits, const Tensor& labels, std::int64_t i) {
    const std::int64_t classes = logits.dim(1), probabilities = logits.numel();
    const bool is_loss = i >= probabilities;
    const std::int64_t row = is_loss ? i - probabilities : i / classes;
    const float* z = logits.data() + row * classes;
    const auto top = static_cast<double>(*std::max_element(z, z + classes));
    double sum = 0.0;
    for (std::int64_t c = 0; c < classes; ++c) sum += std::exp(static_cast<double>(z[c]) - top);
    const std::int64_t c = is_loss ? labels.int64_data()[row] : i % classes;
    const double below = top - static_cast<double>(z[c]);
    // The exponent is rounded in float; what is small against 1 is lost of the logarithm of a sum near 1.
    if (is_loss) return {std::log(sum) + below, 1.0 + below};
    const double probability = std::exp(-below) / sum;
    return {probability, probability * (1.0 + below)};
}

Tensor random_labels(std::int64_t rows, std::int64_t classes) {
    std::vector<std::int64_t> labels(static_cast<std::size_t>(rows));
    for (std::int64_t i = 0; i < rows; ++i) labels[static_cast<std::size_t>(i)] = i * 7919 % classes;
    return Tensor::from_int64({rows}, labels);
}

void shipped(Operands& operands, cudaStream_t /*the backend has its own*/) {
    operands.out[1] = backend(lab_device).softmax_cross_entropy(operands.in[0], operands.in[1], operands.out[0]);
}

Problem problem(const Size& size) {
    const std::int64_t rows = size[0], classes = size[1], count = rows * classes;
    const Tensor logits = random_values({rows, classes}, 1, -8.0f, 8.0f), labels = random_labels(rows, classes);
    const auto version = [=](auto run) {
        return [=](Operands& operands, cudaStream_t stream) {
            run(in<float>(operands.in[0]), in<std::int64_t>(operands.in[1]), rows, classes, out<float>(operands.out[0]),
                out<float>(operands.out[1]), stream);
        };
    };
    Problem problem;
    problem.size = concat("logits ", logits.shape());
    problem.bytes = 8.0 * static_cast<double>(count) + 12.0 * static_cast<double>(rows);
    problem.operations = 6.0 * static_cast<double>(count);
    problem.terms = static_cast<double>(classes);
    problem.in = {logits, labels};
    problem.out = {unwritten({rows, classes}), unwritten({rows})};
    problem.oracle = [=](std::int64_t i) { return expected(logits, labels, i); };
    problem.versions = {{"v1", "a thread per row", Bound::memory, version(softmax_cross_entropy_v1)},
                        {"v2", "a block per row, shared memory", Bound::memory, version(softmax_cross_entropy_v2)},
                        {"v3", "shipped: a tile of rows, or a warp per row", Bound::memory, shipped}};
    return problem;
}

}  // namespace

Lab softmax_cross_entropy_lab() {
    return {.name = "softmax_cross_entropy",
            .about = "probabilities and loss of logits [N,C]",
            .odd = {{1, 1}, {5, 10}, {130, 10}, {3, 33}, {2, 300}, {2, 1100}},
            .small = {{4096, 1000}},
            .full = {{65536, 1000}, {4194304, 10}},
            .problem = problem};
}

}  // namespace LETHE_CUDA::labs
