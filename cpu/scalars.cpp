#include <algorithm>

#include "cpu/backend.h"

namespace lethe {

void CpuBackend::increment_impl(Tensor& counter) { ++*counter.mutable_int64_data(); }

void CpuBackend::set_scalars_impl(Tensor& scalars, std::span<const float> values) {
    std::copy(values.begin(), values.end(), scalars.mutable_data());
}

}  // namespace lethe
