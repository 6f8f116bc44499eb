#include "bench/labs/check.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "tensor/error.h"

namespace LETHE_CUDA::labs {
namespace {

double tolerance(const Expected& expected, double terms, Bound bound) {
    constexpr double constant = 8.0, eps = std::numeric_limits<float>::epsilon();
    const double rounded_factor = bound == Bound::tf32 ? std::ldexp(1.0, -11) : 0.0;
    return constant * (eps * std::sqrt(terms) + rounded_factor) * std::max(std::abs(expected.value), expected.spread);
}

}  // namespace

Checker::Checker(const Problem& problem, std::int64_t most) : size_(problem.results()), terms_(problem.terms) {
    const std::int64_t count = std::min(size_, most);
    for (std::int64_t i = 0; i < count; ++i) {
        const std::int64_t at = count < 2 ? 0 : i * (size_ - 1) / (count - 1);
        expected_.emplace_back(at, problem.oracle(at));
    }
}

Verdict Checker::check(std::span<const float> result, Bound bound) const {
    if (static_cast<std::int64_t>(result.size()) != size_)
        return {false, std::numeric_limits<double>::infinity(), concat(result.size(), " elements, not ", size_)};
    const auto broken =
        std::find_if_not(result.begin(), result.end(), [](float value) { return std::isfinite(value); });
    if (broken != result.end())
        return {false, std::numeric_limits<double>::infinity(),
                concat("element ", broken - result.begin(), " of ", result.size(), " is ", *broken)};
    Verdict verdict;
    for (const auto& [at, expected] : expected_) {
        const auto actual = static_cast<double>(result[at]);
        const double error = std::abs(actual - expected.value), allowed = tolerance(expected, terms_, bound);
        const double share = error == 0.0 ? 0.0 : error / allowed;  // also where nothing is allowed
        if (share <= verdict.share) continue;
        verdict.share = share;
        if (share <= 1.0) continue;
        verdict.right = false;
        verdict.problem =
            concat("element ", at, " of ", result.size(), " is ", actual, ", not ", expected.value, " +- ", allowed);
    }
    return verdict;
}

}  // namespace LETHE_CUDA::labs
