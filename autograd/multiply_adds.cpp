#include "autograd/multiply_adds.h"

#include <optional>

#include "tensor/error.h"

namespace lethe {
namespace {

thread_local std::optional<int64_t> count;

}  // namespace

MultiplyAdds::MultiplyAdds() {
    check(!count, "MultiplyAdds: this thread is counting already");
    count = 0;
}

MultiplyAdds::~MultiplyAdds() { count.reset(); }

int64_t MultiplyAdds::total() const { return *count; }

bool MultiplyAdds::counting() { return count.has_value(); }

Tensor MultiplyAdds::counted(const Shape& result, int64_t products, Device device) {
    *count += result.numel() * products;
    return Tensor::zeros(result, DType::float32, device);
}

}  // namespace lethe
