#include "bench/labs/lab.h"

#include <limits>

#include "tensor/random.h"

namespace LETHE_CUDA::labs {

const char* name(Bound bound) {
    switch (bound) {
        case Bound::memory:
            return "memory";
        case Bound::fp32:
            return "fp32";
        case Bound::tf32:
            return "tf32";
    }
    return "";
}

std::int64_t Problem::results() const {
    std::int64_t count = 0;
    for (const Tensor& tensor : out) count += tensor.numel();
    return count;
}

std::vector<Lab> all_labs() {
    return {sgemm_lab(),       conv2d_lab(),   batchnorm_lab(), softmax_cross_entropy_lab(),
            elementwise_lab(), pgd_step_lab(), importance_lab()};
}

Tensor random_values(const Shape& shape, std::uint64_t item, float low, float high) {
    constexpr std::int64_t different = 1 << 20;
    const Random random(1, Purpose::synthetic);
    Tensor tensor = Tensor::empty(shape);
    float* values = tensor.mutable_data();
    for (std::int64_t i = 0; i < tensor.numel(); ++i)
        values[i] = i < different ? low + (high - low) * random.uniform(item, static_cast<std::uint32_t>(i))
                                  : values[i - different];
    return tensor;
}

Tensor unwritten(const Shape& shape) { return Tensor::full(shape, std::numeric_limits<float>::quiet_NaN()); }

}  // namespace LETHE_CUDA::labs
