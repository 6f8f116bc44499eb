// The axes of a chart, whatever draws it: ranges, round ticks, labels.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <limits>
#include <string>
#include <vector>

namespace lethe {

// Of the values that were included; none at first.
struct Range {
    double low = std::numeric_limits<double>::infinity(), high = -std::numeric_limits<double>::infinity();
    void include(double value) {
        low = std::min(low, value);
        high = std::max(high, value);
    }
    bool empty() const { return !(low <= high); }
};

// Steps of 1, 2 or 5 times a power of ten, about `wanted` of them over the range.
inline double nice_step(const Range& range, int wanted) {
    const double rough = (range.high - range.low) / wanted;
    const double power = std::pow(10.0, std::floor(std::log10(rough)));
    const double leading = rough / power;  // 1 to 10
    return power * (leading < 1.5 ? 1 : leading < 3.5 ? 2 : leading < 7.5 ? 5 : 10);
}

// Multiples of the step within the range.
inline std::vector<double> linear_ticks(const Range& range, double step) {
    std::vector<double> ticks;
    for (double i = std::ceil(range.low / step - 1e-9); i * step <= range.high + 1e-9 * step; ++i)
        ticks.push_back(i == 0 ? 0 : i * step);
    return ticks;
}

// Powers of ten, with 2 and 5 between them when there are few.
inline std::vector<double> log_ticks(const Range& range) {
    std::vector<double> ticks;
    const bool dense = std::log10(range.high / range.low) < 2.5;
    for (double power = std::floor(std::log10(range.low)); power <= std::log10(range.high); ++power)
        for (const double factor : {1.0, 2.0, 5.0}) {
            const double tick = factor * std::pow(10.0, power);
            if ((factor == 1 || dense) && tick >= range.low * (1 - 1e-9) && tick <= range.high * (1 + 1e-9))
                ticks.push_back(tick);
        }
    return ticks;
}

inline std::string tick_label(double value) {
    std::array<char, 32> text;
    std::snprintf(text.data(), text.size(), "%.6g", value);
    return text.data();
}

// A range of no extent gets some, so that it can be drawn.
inline void widen(Range& range, bool logarithmic) {
    if (range.empty()) range = logarithmic ? Range{1, 10} : Range{0, 1};
    if (range.high - range.low > 1e-12 * std::max(std::abs(range.low), std::abs(range.high))) return;
    if (logarithmic) {
        range = {range.low / 2, range.high * 2};
    } else {
        const double pad = range.low == 0 ? 1 : 0.1 * std::abs(range.low);
        range = {range.low - pad, range.high + pad};
    }
}

}  // namespace lethe
