#include "unlearn/metrics/membership.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>

#include "tensor/error.h"
#include "tensor/random.h"

namespace lethe {
namespace {

void check_scores(std::span<const double> members, std::span<const double> non_members) {
    check(!members.empty() && !non_members.empty(), "membership inference: ", members.size(), " members and ",
          non_members.size(), " non-members; at least one of both is needed");
    for (const auto& scores : {members, non_members})
        check(std::none_of(scores.begin(), scores.end(), [](double score) { return std::isnan(score); }),
              "membership inference: a score is not a number; has the model diverged?");
}

// How many of each side lie above a threshold, from the highest threshold down.
struct CurvePoint {
    double members = 0, non_members = 0;
};

std::vector<CurvePoint> roc_curve(std::span<const double> members, std::span<const double> non_members) {
    std::vector<double> in(members.begin(), members.end()), out(non_members.begin(), non_members.end());
    std::sort(in.begin(), in.end(), std::greater<>());
    std::sort(out.begin(), out.end(), std::greater<>());
    std::vector<CurvePoint> curve{{0, 0}};
    for (std::size_t i = 0, j = 0; i < in.size() || j < out.size();) {
        const double highest = j == out.size() || (i < in.size() && in[i] > out[j]) ? in[i] : out[j];
        while (i < in.size() && in[i] == highest) ++i;
        while (j < out.size() && out[j] == highest) ++j;
        curve.push_back({static_cast<double>(i), static_cast<double>(j)});
    }
    return curve;
}

struct Scaling {
    double mean = 0, deviation = 1;
    double operator()(double value) const { return (value - mean) / deviation; }
};

// Of both together; a feature that is the same everywhere stays so.
Scaling scaling_of(std::span<const double> left, std::span<const double> right) {
    const auto n = static_cast<double>(left.size() + right.size());
    Scaling scaling;
    for (const auto& values : {left, right}) scaling.mean += std::accumulate(values.begin(), values.end(), 0.0) / n;
    double variance = 0;
    for (const auto& values : {left, right})
        for (const double value : values) variance += (value - scaling.mean) * (value - scaling.mean) / n;
    if (variance > 0) scaling.deviation = std::sqrt(variance);
    return scaling;
}

std::vector<double> scaled(const Scaling& scaling, std::span<const double> values) {
    std::vector<double> result(values.size());
    std::transform(values.begin(), values.end(), result.begin(), scaling);
    return result;
}

// Fold of each of n: they are dealt out in a drawn order.
std::vector<int64_t> dealt(std::size_t n, int64_t folds, uint64_t seed, uint64_t item) {
    const std::vector<int64_t> order = Random(seed, Purpose::fold).permutation(static_cast<int64_t>(n), item);
    std::vector<int64_t> fold(n);
    for (std::size_t i = 0; i < n; ++i) fold[static_cast<std::size_t>(order[i])] = static_cast<int64_t>(i) % folds;
    return fold;
}

std::vector<double> chosen(std::span<const double> values, const std::vector<int64_t>& fold, int64_t which,
                           bool of_it) {
    std::vector<double> result;
    for (std::size_t i = 0; i < values.size(); ++i)
        if ((fold[i] == which) == of_it) result.push_back(values[i]);
    return result;
}

double share_above(std::span<const double> scores, const LogisticFit& fit) {
    return static_cast<double>(
        std::count_if(scores.begin(), scores.end(), [&](double score) { return fit.weight * score + fit.bias > 0; }));
}

}  // namespace

ThresholdAttack threshold_attack(std::span<const double> members, std::span<const double> non_members) {
    check_scores(members, non_members);
    const auto n = static_cast<double>(members.size()), m = static_cast<double>(non_members.size());
    const std::vector<CurvePoint> curve = roc_curve(members, non_members);
    ThresholdAttack attack;
    for (std::size_t i = 0; i < curve.size(); ++i) {
        const double tpr = curve[i].members / n;
        // Counts are compared, not quotients: 10 of 1000 is 1 %, whatever 0.01 rounds to.
        if (100 * curve[i].non_members <= m) attack.tpr_at_1_percent = tpr;
        if (1000 * curve[i].non_members <= m) attack.tpr_at_01_percent = tpr;
        attack.balanced_accuracy = std::max(attack.balanced_accuracy, (tpr + 1 - curve[i].non_members / m) / 2);
        if (i > 0)  // the trapezium between two thresholds: ties count half
            attack.auc += (curve[i].non_members - curve[i - 1].non_members) / m *
                          (curve[i].members + curve[i - 1].members) / (2 * n);
    }
    return attack;
}

LogisticFit fit_logistic(std::span<const double> members, std::span<const double> non_members) {
    check_scores(members, non_members);
    const auto n = static_cast<double>(members.size() + non_members.size());
    struct Derivatives {
        double value, gw, gb, hww, hwb, hbb;
    };
    const auto at = [&](double w, double b) {
        Derivatives d{w * w / 2, w, 0, 1, 0, 0};
        const auto add = [&](std::span<const double> scores, double sign) {
            const double each = n / (2 * static_cast<double>(scores.size()));
            for (const double s : scores) {
                const double z = sign * (w * s + b);
                const double miss = z > 0 ? std::exp(-z) / (1 + std::exp(-z)) : 1 / (1 + std::exp(z));
                d.value += each * (z > 0 ? std::log1p(std::exp(-z)) : std::log1p(std::exp(z)) - z);
                d.gw -= each * sign * miss * s;
                d.gb -= each * sign * miss;
                const double curvature = each * miss * (1 - miss);
                d.hww += curvature * s * s;
                d.hwb += curvature * s;
                d.hbb += curvature;
            }
        };
        add(members, 1);
        add(non_members, -1);
        return d;
    };
    LogisticFit fit;
    Derivatives now = at(0, 0);
    for (int step = 0; step < 100 && std::hypot(now.gw, now.gb) > 1e-10; ++step) {
        const double determinant = now.hww * now.hbb - now.hwb * now.hwb;
        const double dw = (now.hbb * now.gw - now.hwb * now.gb) / determinant;
        const double db = (now.hww * now.gb - now.hwb * now.gw) / determinant;
        // Convex: a step short enough does not raise the value.
        double length = 1;
        Derivatives next = at(fit.weight - dw, fit.bias - db);
        while (next.value > now.value && length > 1e-6) {
            length /= 2;
            next = at(fit.weight - length * dw, fit.bias - length * db);
        }
        fit = {fit.weight - length * dw, fit.bias - length * db};
        now = next;
    }
    return fit;
}

double logistic_attack(std::span<const double> members, std::span<const double> non_members, int64_t folds,
                       uint64_t seed) {
    check_scores(members, non_members);
    const auto fewest = static_cast<int64_t>(std::min(members.size(), non_members.size()));
    check(folds >= 2 && folds <= fewest, "membership inference: folds must be 2 to ", fewest,
          ", the number of images of the smaller class, got ", folds);
    const std::vector<int64_t> fold_in = dealt(members.size(), folds, seed, 0);
    const std::vector<int64_t> fold_out = dealt(non_members.size(), folds, seed, 1);
    double found = 0, wrongly = 0;
    for (int64_t fold = 0; fold < folds; ++fold) {
        const std::vector<double> in = chosen(members, fold_in, fold, false);
        const std::vector<double> out = chosen(non_members, fold_out, fold, false);
        const Scaling scaling = scaling_of(in, out);
        const LogisticFit fit = fit_logistic(scaled(scaling, in), scaled(scaling, out));
        found += share_above(scaled(scaling, chosen(members, fold_in, fold, true)), fit);
        wrongly += share_above(scaled(scaling, chosen(non_members, fold_out, fold, true)), fit);
    }
    return (found / static_cast<double>(members.size()) + 1 - wrongly / static_cast<double>(non_members.size())) / 2;
}

}  // namespace lethe
