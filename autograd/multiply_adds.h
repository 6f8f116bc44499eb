// MultiplyAdds: what a forward pass costs, found without computing it.
#pragma once

#include "tensor/tensor.h"

namespace lethe {

// While alive, the operations of this thread that multiply matrices (convolutions, linear layers, attention) only
// count: their results are zeros of the right shape. All others run. One at a time per thread.
class MultiplyAdds {
public:
    MultiplyAdds();
    ~MultiplyAdds();
    MultiplyAdds(const MultiplyAdds&) = delete;
    MultiplyAdds& operator=(const MultiplyAdds&) = delete;

    int64_t total() const;

    // For ops. Whether such an object is alive; then counted() is the result of an operation that adds `products`
    // products into each element.
    static bool counting();
    static Tensor counted(const Shape& result, int64_t products, Device device);
};

}  // namespace lethe
