// The oracle of the optimizers: one step on one tensor, in double.
#pragma once

#include "tests/support/reference.h"

namespace lethe::test::reference {

// theta and the state, which starts at zero, are written. `penalty` may be undefined.
void sgd(Array& theta, const Array& grad, Array& momentum, const Penalty& penalty, float weight_decay, const Sgd& op);
void adam(Array& theta, const Array& grad, Array& exp_avg, Array& exp_avg_sq, const Penalty& penalty,
          float weight_decay, const Adam& op);

}  // namespace lethe::test::reference
