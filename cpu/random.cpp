#include "cpu/backend.h"
#include "cpu/chunks.h"

namespace lethe {

void CpuBackend::fill_uniform_impl(Tensor& x, const Random& random, uint64_t first_item, float low, float range) {
    if (x.numel() == 0) return;
    const int64_t length = x.numel() / x.dim(0);
    float* out = x.mutable_data();
    for_chunks(x.dim(0), 1, [&](int64_t row, int64_t) {
        const uint64_t item = first_item + static_cast<uint64_t>(row);
        for (int64_t j = 0; j < length; ++j) {
            // The product is exact in double, so fused or not, the sum is rounded alike on every device.
            const auto uniform = static_cast<double>(random.uniform(item, static_cast<uint32_t>(j)));
            out[row * length + j] = static_cast<float>(static_cast<double>(low) + static_cast<double>(range) * uniform);
        }
    });
}

}  // namespace lethe
