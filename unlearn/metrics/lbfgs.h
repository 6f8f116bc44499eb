// Minimises a smooth convex function: limited-memory BFGS (Nocedal and Wright, Numerical Optimization, 2nd ed.,
// algorithms 7.4 and 7.5) with a backtracking line search (3.1).
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace lethe {

// Returns the value at x and writes the gradient, of as many numbers as x.
using SmoothFunction = std::function<double(std::span<const double> x, std::span<double> gradient)>;

struct MinimiseOptions {
    double tolerance = 1e-5;  // ends where no component of the gradient is larger
    int64_t max_steps = 500;
};
std::vector<double> minimise(const SmoothFunction& objective, std::vector<double> start,
                             const MinimiseOptions& options);

}  // namespace lethe
