// A microscope for the importance penalty: what min-max makes of the importance of each tensor, and whether the weights
// moved where it lets them.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "tensor/tensor.h"

namespace lethe {

inline constexpr std::size_t drift_bins = 10;
using Counts = std::array<int64_t, drift_bins>;

// How the importance of a tensor's weights is spread.
struct ImportanceSpread {
    std::string name;
    double largest = 0;  // Omega
    // Before: Omega by powers of ten below the largest of the whole model, decades[j]: 10^-(j+1) < Omega / largest <=
    // 10^-j; all that is smaller, 0 too, in the last. After: Omega-bar by tenths, tenths[j]: from j/10 to (j+1)/10, 1
    // in the last.
    Counts decades{}, tenths{};
    bool degenerate = false;  // all the same: Omega-bar is 0
};
// `omega` as of mas_importance(). Throws Error as penalty_weights() does.
std::vector<ImportanceSpread> importance_spread(const StateDict& omega);

// What a model's weights did with the penalty's weights w = 1 - Omega-bar, each in [0,1].
struct Drift {
    std::string name;
    // sum of w (theta - theta0)^2 / sum of (theta - theta0)^2: how much of the movement, squared, went against the
    // penalty. 0 where nothing moved. Movement that does not heed the penalty has `expected`, the mean of w.
    double protected_share = 0, expected = 0;
    double moved = 0;                            // sum of (theta - theta0)^2
    std::array<double, drift_bins> mean_move{};  // mean |theta - theta0| of the weights in each of `tenths`
    Counts values{};                             // how many they are
};
struct DriftReport {
    Drift whole;  // all weights together
    std::vector<Drift> tensors;
};
// `before` and `after`: states of one architecture, of which `omega` names the parameters. Throws Error for a name that
// is missing or of another shape.
DriftReport drift_of(const StateDict& omega, const StateDict& before, const StateDict& after);

// A line for each tensor: both spreads, shaded by the logarithm of the counts, and for each model the mean movement in
// each tenth, shaded from 0 to the model's largest; grey where no weight is.
void write_drift_picture(const std::filesystem::path& path, const std::vector<ImportanceSpread>& importance,
                         const std::vector<std::pair<std::string, DriftReport>>& models);

}  // namespace lethe
