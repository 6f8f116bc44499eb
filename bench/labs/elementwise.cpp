#include "bench/labs/elementwise.h"

#include <cmath>

#include "bench/labs/lab.h"
#include "cuda/backend.h"

namespace LETHE_CUDA::labs {
namespace {

Expected expected(const std::vector<Tensor>& in, std::int64_t i) {
    const auto at = [&](std::size_t tensor) { return static_cast<double>(in[tensor].data()[i]); };
    if (!(at(2) > 0.0)) return {0.0, 0.0};
    return {at(0) + at(1), std::hypot(at(0), at(1))};
}

// As many bytes as the operation reads and writes.
bool copies(VendorLibraries* /*none needed*/, Operands& operands, cudaStream_t stream) {
    for (int i = 0; i < 2; ++i)
        check_cuda(cudaMemcpyAsync(out<float>(operands.out[0]), in<float>(operands.in[static_cast<std::size_t>(i)]),
                                   static_cast<std::size_t>(operands.out[0].numel()) * sizeof(float),
                                   cudaMemcpyDeviceToDevice, stream),
                   "cudaMemcpyAsync");
    return true;
}

void shipped(Operands& operands, cudaStream_t /*the backend has its own*/) {
    operands.out[0] = backend(lab_device).relu_mask_add(operands.in[0], operands.in[1], operands.in[2]);
}

Problem problem(const Size& size) {
    const std::int64_t n = size[0];
    const auto version = [n](auto run) {
        return [=](Operands& operands, cudaStream_t stream) {
            run(n, in<float>(operands.in[0]), in<float>(operands.in[1]), in<float>(operands.in[2]),
                out<float>(operands.out[0]), stream);
        };
    };
    Problem problem;
    problem.size = concat(n, " elements");
    problem.bytes = 16.0 * static_cast<double>(n);
    problem.operations = static_cast<double>(n);
    problem.terms = 2.0;
    problem.in = {random_values({n}, 1), random_values({n}, 2), random_values({n}, 3)};
    problem.out = {unwritten({n})};
    problem.oracle = [in = problem.in](std::int64_t i) { return expected(in, i); };
    problem.versions = {{"v1", "two kernels", Bound::memory, version(relu_mask_add_v1)},
                        {"v2", "one kernel", Bound::memory, version(relu_mask_add_v2)},
                        {"v3", "16 bytes per access", Bound::memory, version(relu_mask_add_v3)},
                        {"v4", "shipped: threads that loop", Bound::memory, shipped}};
    problem.vendors = {{"cudaMemcpy", Bound::memory, false, copies}};
    return problem;
}

}  // namespace

Lab elementwise_lab() {
    return {.name = "elementwise",
            .about = "y = (a + b) * (mask > 0)",
            .odd = {{1}, {31}, {1000}, {1027}},
            .small = {{1 << 20}},
            .full = {{1 << 26}},
            .problem = problem};
}

}  // namespace LETHE_CUDA::labs
