// What a handful of runs says: means with their uncertainty, differences of paired runs, proportions.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

namespace lethe {

inline constexpr double usual_confidence = 0.95;

struct Interval {
    double low = 0, high = 0;
};

// Of n independent values. What they cannot tell is absent, never NaN, and `note` says why.
struct Summary {
    int64_t n = 0;
    double mean = 0;
    std::optional<double> deviation;   // sqrt(sum (x - mean)^2 / (n - 1)); needs n >= 2
    std::optional<Interval> interval;  // of the mean: mean -+ t_{n-1} deviation / sqrt(n); needs a deviation above 0
    std::string note;                  // empty, or what is absent and why
};
// Student's t interval (Student, Biometrika 6, 1908), which takes the values as normally distributed. Throws Error
// without values, for one that is not finite, and unless 0 < confidence < 1.
Summary summarize(std::span<const double> values, double confidence = usual_confidence);

// first[i] and second[i] belong together: two methods on one forget set. The paired t test of mean difference 0.
struct PairedComparison {
    Summary difference;       // of first[i] - second[i]
    std::optional<double> t;  // mean / (deviation / sqrt(n)); absent where the interval is
    std::optional<double> p;  // two-sided
};
// Throws Error as summarize() does and where the lengths differ.
PairedComparison compare_paired(std::span<const double> first, std::span<const double> second,
                                double confidence = usual_confidence);

// Of the proportion behind `successes` of `total`, from the score test (Wilson, JASA 22, 1927): it stays in [0,1] and
// has a length for 0 and `total` successes, too. Throws Error unless 0 <= successes <= total and total >= 1.
Interval wilson_interval(int64_t successes, int64_t total, double confidence = usual_confidence);

// Two classifiers on the same images (McNemar, Psychometrika 12, 1947): the two-sided p of `only_first` images that
// only the first gets right and `only_second` that only the second does, were each of them as likely as the other; from
// the binomial distribution, not its approximation. 1 where both are 0. Throws Error for a negative count.
double mcnemar_exact(int64_t only_first, int64_t only_second);

// The smallest step of an accuracy on `images` images, in per cent: one image. Throws Error unless images >= 1.
double resolution(int64_t images);

}  // namespace lethe
