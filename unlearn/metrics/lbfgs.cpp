#include "unlearn/metrics/lbfgs.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <numeric>

namespace lethe {
namespace {

using Point = std::vector<double>;

// What a step has told about the curvature: s = x' - x, y = g' - g.
struct Curvature {
    Point s, y;
    double inverse = 0;  // 1 / (s . y)
};

double dot(const Point& a, const Point& b) { return std::inner_product(a.begin(), a.end(), b.begin(), 0.0); }

void add_scaled(Point& to, double factor, const Point& from) {
    for (std::size_t i = 0; i < to.size(); ++i) to[i] += factor * from[i];
}

// -H g by the two-loop recursion.
Point direction(const Point& gradient, const std::deque<Curvature>& history) {
    Point d = gradient;
    std::vector<double> alpha(history.size());
    for (std::size_t i = history.size(); i-- > 0;) {
        alpha[i] = history[i].inverse * dot(history[i].s, d);
        add_scaled(d, -alpha[i], history[i].y);
    }
    // Before the first step nothing is known of the scale: a step of length 1.
    const double scale = history.empty() ? 1 / std::sqrt(std::max(dot(d, d), 1e-300))
                                         : 1 / (history.back().inverse * dot(history.back().y, history.back().y));
    for (double& value : d) value *= scale;
    for (std::size_t i = 0; i < history.size(); ++i)
        add_scaled(d, alpha[i] - history[i].inverse * dot(history[i].y, d), history[i].s);
    for (double& value : d) value = -value;
    return d;
}

bool flat(const Point& gradient, double tolerance) {
    return std::all_of(gradient.begin(), gradient.end(), [&](double g) { return std::abs(g) <= tolerance; });
}

}  // namespace

std::vector<double> minimise(const SmoothFunction& objective, std::vector<double> start,
                             const MinimiseOptions& options) {
    constexpr std::size_t memory = 10;
    Point x = std::move(start), gradient(x.size());
    double value = objective(x, gradient);
    std::deque<Curvature> history;
    for (int64_t step = 0; step < options.max_steps && !flat(gradient, options.tolerance); ++step) {
        const Point d = direction(gradient, history);
        const double slope = dot(gradient, d);
        Point next, next_gradient(x.size());
        double next_value = 0;
        double length = 1;
        for (;; length /= 2) {
            if (length < 1e-12) return x;  // rounding leaves nothing to gain
            next = x;
            add_scaled(next, length, d);
            next_value = objective(next, next_gradient);
            if (next_value <= value + 1e-4 * length * slope) break;
        }
        Curvature pair{next, next_gradient};
        add_scaled(pair.s, -1, x);
        add_scaled(pair.y, -1, gradient);
        const double curvature = dot(pair.s, pair.y);
        x = std::move(next);
        gradient = std::move(next_gradient);
        value = next_value;
        if (!(curvature > 1e-12 * dot(pair.s, pair.s))) continue;  // too flat to learn from
        pair.inverse = 1 / curvature;
        history.push_back(std::move(pair));
        if (history.size() > memory) history.pop_front();
    }
    return x;
}

}  // namespace lethe
