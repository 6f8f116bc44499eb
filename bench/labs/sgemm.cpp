#include "bench/labs/sgemm.h"

#include <cmath>

#include "bench/labs/lab.h"
#include "cuda/backend.h"
#include "tensor/error.h"

namespace LETHE_CUDA::labs {
namespace {

Expected expected(const Tensor& a, const Tensor& b, std::int64_t i) {
    const std::int64_t depth = a.dim(1), columns = b.dim(1);
    const float *row = a.data() + i / columns * depth, *column = b.data() + i % columns;
    double sum = 0.0, squares = 0.0;
    for (std::int64_t k = 0; k < depth; ++k) {
        const double product = static_cast<double>(row[k]) * static_cast<double>(column[k * columns]);
        sum += product;
        squares += product * product;
    }
    return {sum, std::sqrt(squares)};
}

Vendor cublas(std::string name, Bound bound, Precision precision) {
    return {std::move(name), bound, true, [precision](VendorLibraries* libraries, Operands& operands, cudaStream_t) {
                return libraries != nullptr && libraries->matmul(operands.in[0], false, operands.in[1], false, Tensor(),
                                                                 precision, operands.out[0]);
            }};
}

Problem problem(const Size& size) {
    const std::int64_t m = size[0], n = size[1], k = size[2];
    const Tensor a = random_values({m, k}, 1), b = random_values({k, n}, 2);
    const auto version = [=](auto run) {
        return [=](Operands& operands, cudaStream_t stream) {
            run(static_cast<int>(m), static_cast<int>(n), static_cast<int>(k), in<float>(operands.in[0]),
                in<float>(operands.in[1]), out<float>(operands.out[0]), stream);
        };
    };
    Problem problem;
    problem.size = concat(a.shape(), " times ", b.shape());
    problem.bytes = 4.0 * static_cast<double>(m * k + k * n + m * n);
    problem.operations = 2.0 * static_cast<double>(m * n) * static_cast<double>(k);
    problem.terms = static_cast<double>(k);
    problem.in = {a, b};
    problem.out = {unwritten({m, n})};
    problem.oracle = [=](std::int64_t i) { return expected(a, b, i); };
    problem.versions = {{"v1", "a thread per output", Bound::fp32, version(sgemm_v1)},
                        {"v2", "tiles in shared memory", Bound::fp32, version(sgemm_v2)},
                        {"v3", "4 x 4 outputs per thread", Bound::fp32, version(sgemm_v3)},
                        {"v4", "shipped: 16-byte accesses, next tile fetched early", Bound::fp32, version(sgemm_v4)}};
    problem.vendors = {cublas("cuBLASLt", Bound::fp32, Precision::strict),
                       cublas("cuBLASLt, TF32", Bound::tf32, Precision::tf32)};
    return problem;
}

}  // namespace

Lab sgemm_lab() {
    return {.name = "sgemm",
            .about = "C [M,N] = A [M,K] B [K,N] in float32",
            .odd = {{1, 1, 1}, {3, 5, 7}, {33, 17, 40}, {70, 67, 33}},
            .small = {{512, 512, 512}},
            .full = {{4096, 4096, 4096}, {1024, 1024, 1024}},
            .problem = problem};
}

}  // namespace LETHE_CUDA::labs
