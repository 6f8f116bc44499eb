#include "unlearn/statistics.h"

#include <algorithm>
#include <boost/math/distributions/binomial.hpp>
#include <boost/math/distributions/normal.hpp>
#include <boost/math/distributions/students_t.hpp>
#include <cmath>
#include <vector>

#include "tensor/error.h"

namespace lethe {
namespace {

void check_confidence(double confidence) {
    check(confidence > 0 && confidence < 1, "statistics: a confidence must lie between 0 and 1, got ", confidence);
}

// Means and deviations below this share of the values come from rounding: accuracies are quotients, and equal
// differences of quotients differ in their last bits.
constexpr double rounding = 1e-12;

// `scale` is the size of the numbers that the values were computed from.
Summary summarize_scaled(std::span<const double> values, double scale, double confidence) {
    check_confidence(confidence);
    check(!values.empty(), "statistics: there are no values to summarise");
    for (const double value : values)
        check(std::isfinite(value), "statistics: value ", value, " is not a finite number");
    Summary summary;
    summary.n = static_cast<int64_t>(values.size());
    const auto n = static_cast<double>(values.size());
    for (const double value : values) summary.mean += value / n;
    const auto rounded = [&](double value) { return std::abs(value) <= rounding * scale ? 0 : value; };
    summary.mean = rounded(summary.mean);
    if (summary.n < 2) {
        summary.note = "one value: no deviation and no interval";
        return summary;
    }
    double squares = 0;
    for (const double value : values) squares += (value - summary.mean) * (value - summary.mean);
    summary.deviation = std::sqrt(squares / (n - 1));
    if (*summary.deviation <= rounding * scale) {
        summary.deviation = 0;
        summary.mean = rounded(values.front());
        summary.note = "all values are equal: no interval";
        return summary;
    }
    const boost::math::students_t student(n - 1);
    const double reach = quantile(complement(student, (1 - confidence) / 2)) * *summary.deviation / std::sqrt(n);
    summary.interval = {summary.mean - reach, summary.mean + reach};
    return summary;
}

double largest(std::span<const double> values) {
    double result = 0;
    for (const double value : values) result = std::max(result, std::abs(value));
    return result;
}

}  // namespace

Summary summarize(std::span<const double> values, double confidence) {
    return summarize_scaled(values, largest(values), confidence);
}

PairedComparison compare_paired(std::span<const double> first, std::span<const double> second, double confidence) {
    check(first.size() == second.size(), "statistics: paired values must be as many on both sides, got ", first.size(),
          " and ", second.size());
    std::vector<double> differences;
    for (std::size_t i = 0; i < first.size(); ++i) differences.push_back(first[i] - second[i]);
    PairedComparison comparison;
    comparison.difference = summarize_scaled(differences, std::max(largest(first), largest(second)), confidence);
    const Summary& difference = comparison.difference;
    if (!difference.interval) {
        comparison.difference.note = difference.n < 2 ? "one pair: no interval and no test"
                                                      : "all differences are equal: no interval and no test";
        return comparison;
    }
    const auto n = static_cast<double>(difference.n);
    comparison.t = difference.mean / (*difference.deviation / std::sqrt(n));
    const boost::math::students_t student(n - 1);
    comparison.p = 2 * cdf(complement(student, std::abs(*comparison.t)));
    return comparison;
}

Interval wilson_interval(int64_t successes, int64_t total, double confidence) {
    check_confidence(confidence);
    check(total >= 1 && successes >= 0 && successes <= total, "statistics: ", successes, " of ", total,
          " is no proportion");
    const double z = quantile(complement(boost::math::normal(), (1 - confidence) / 2));
    const auto n = static_cast<double>(total);
    const double share = static_cast<double>(successes) / n;
    const double centre = (share + z * z / (2 * n)) / (1 + z * z / n);
    const double reach = z / (1 + z * z / n) * std::sqrt(share * (1 - share) / n + z * z / (4 * n * n));
    // The bounds at 0 and 1 are exact; computed, they would be off by a rounding.
    return {successes == 0 ? 0 : centre - reach, successes == total ? 1 : centre + reach};
}

double mcnemar_exact(int64_t only_first, int64_t only_second) {
    check(only_first >= 0 && only_second >= 0, "statistics: counts of images must not be negative, got ", only_first,
          " and ", only_second);
    const int64_t discordant = only_first + only_second;
    if (only_first == only_second) return 1;
    const boost::math::binomial fair(static_cast<double>(discordant), 0.5);
    return 2 * cdf(fair, static_cast<double>(std::min(only_first, only_second)));  // < 1: that is less than half of it
}

double resolution(int64_t images) {
    check(images >= 1, "statistics: an accuracy needs images, got ", images);
    return 100.0 / static_cast<double>(images);
}

}  // namespace lethe
