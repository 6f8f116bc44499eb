// Compares results with a problem's oracle.
#pragma once

#include <span>
#include <string>
#include <utility>
#include <vector>

#include "bench/labs/lab.h"

namespace LETHE_CUDA::labs {

struct Verdict {
    bool right = true;
    double share = 0.0;  // of the tolerance, by the worst element
    std::string problem;
};

// The oracle's answers for one problem, asked for once and used for every version.
class Checker {
public:
    // Compares at most `most` elements, evenly spread, the first and the last among them. All others must be finite.
    Checker(const Problem& problem, std::int64_t most);

    // |a - e| <= 8 (eps sqrt(terms) + u) max(|e|, spread): rounding errors of a sum grow like a random walk. eps is
    // float32's; u is the 2^-11 that rounding a factor to TF32 costs, and 0 for the other bounds.
    Verdict check(std::span<const float> result, Bound bound) const;

private:
    std::int64_t size_;
    double terms_;
    std::vector<std::pair<std::size_t, Expected>> expected_;
};

}  // namespace LETHE_CUDA::labs
