#include "autograd/ops.h"

namespace lethe {

Var dropout(const Var& x, const Dropout& op) {
    Backend& device = backend(x.value());
    return mul(x, device.cast(device.dropout_factors(x.shape(), op), x.value().dtype()));
}

}  // namespace lethe
