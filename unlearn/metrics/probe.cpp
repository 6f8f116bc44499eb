#include "unlearn/metrics/probe.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "tensor/error.h"
#include "tensor/parallel.h"
#include "unlearn/metrics/lbfgs.h"

namespace lethe {
namespace {

void check_features(const LabelledFeatures& known) {
    check(known.features.defined() && known.features.rank() == 2 && known.features.dim(0) >= 1 &&
              known.features.dim(0) == static_cast<int64_t>(known.labels.size()),
          "probe: features must be [N,p] with a label for each of at least one row, got ", known.labels.size(),
          " labels");
}

void check_asked(const Tensor& asked, int64_t width) {
    check(asked.defined() && asked.rank() == 2 && asked.dim(1) == width, "probe: rows of ", width,
          " features are known, so as many must be asked about");
}

// Rows of length 1; a row of zeros stays.
std::vector<double> unit_rows(const Tensor& x) {
    std::vector<double> rows(x.values().begin(), x.values().end());
    const auto p = static_cast<std::size_t>(x.dim(1));
    for (std::size_t begin = 0; begin < rows.size(); begin += p) {
        double square = 0;
        for (std::size_t f = begin; f < begin + p; ++f) square += rows[f] * rows[f];
        for (std::size_t f = begin; f < begin + p && square > 0; ++f) rows[f] /= std::sqrt(square);
    }
    return rows;
}

// `labels` from the nearest row to the k-th.
int64_t majority(std::span<const int64_t> labels) {
    std::map<int64_t, int64_t> votes;
    for (const int64_t label : labels) ++votes[label];
    int64_t best = -1;
    for (const int64_t label : labels)
        if (best < 0 || votes[label] > votes[best]) best = label;
    return best;
}

// W x + b; x has p values, a row of weights one more.
double affine(std::span<const double> weights, std::span<const double> x) {
    double z = weights.back();
    for (std::size_t f = 0; f < x.size(); ++f) z += weights[f] * x[f];
    return z;
}

// In place: p - onehot(label). Returns CE.
double softmax_residual(std::span<double> z, std::size_t label) {
    const double largest = *std::max_element(z.begin(), z.end());
    const double own = z[label] - largest;
    double sum = 0;
    for (double& value : z) sum += value = std::exp(value - largest);
    for (double& value : z) value /= sum;
    z[label] -= 1;
    return std::log(sum) - own;
}

}  // namespace

std::vector<int64_t> nearest_classes(const LabelledFeatures& known, const Tensor& asked, int64_t k) {
    check_features(known);
    check_asked(asked, known.features.dim(1));
    check(k >= 1, "probe: k must be >= 1, got ", k);
    const std::vector<double> rows = unit_rows(known.features), questions = unit_rows(asked);
    const auto n = known.labels.size(), p = static_cast<std::size_t>(asked.dim(1));
    const std::size_t voters = std::min(n, static_cast<std::size_t>(k));
    std::vector<int64_t> classes(static_cast<std::size_t>(asked.dim(0)));
    parallel_for(asked.dim(0), [&](int64_t question) {
        const double* x = &questions[static_cast<std::size_t>(question) * p];
        std::vector<double> cosine(n);
        for (std::size_t i = 0; i < n; ++i) cosine[i] = std::inner_product(x, x + p, &rows[i * p], 0.0);
        std::vector<std::size_t> order(n);
        std::iota(order.begin(), order.end(), std::size_t{0});
        const auto nearer = [&](std::size_t a, std::size_t b) {
            return cosine[a] != cosine[b] ? cosine[a] > cosine[b] : a < b;
        };
        std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(voters), order.end(), nearer);
        std::vector<int64_t> labels;
        for (std::size_t i = 0; i < voters; ++i) labels.push_back(known.labels[order[i]]);
        classes[static_cast<std::size_t>(question)] = majority(labels);
    });
    return classes;
}

LinearProbe::LinearProbe(const LabelledFeatures& known, int64_t classes, double c)
    : classes_(static_cast<std::size_t>(classes)) {
    check_features(known);
    check(c > 0, "probe: C must be > 0, got ", c);
    for (const int64_t label : known.labels)
        check(label >= 0 && label < classes, "probe: label ", label, " is outside [0, ", classes, ")");
    const std::size_t n = known.labels.size(), p = static_cast<std::size_t>(known.features.dim(1));
    width_ = p;
    mean_.resize(p);
    deviation_.assign(p, 1.0);
    const std::span<const float> values = known.features.values();
    for (std::size_t f = 0; f < p; ++f) {
        double variance = 0;
        for (std::size_t i = 0; i < n; ++i) mean_[f] += static_cast<double>(values[i * p + f]) / static_cast<double>(n);
        for (std::size_t i = 0; i < n; ++i) {
            const double from_mean = static_cast<double>(values[i * p + f]) - mean_[f];
            variance += from_mean * from_mean / static_cast<double>(n);
        }
        if (variance > 0) deviation_[f] = std::sqrt(variance);
    }
    const std::vector<double> x = standardised(known.features);
    std::vector<double> residuals(n * classes_), losses(n);
    const auto objective = [&](std::span<const double> w, std::span<double> gradient) {
        parallel_for(static_cast<int64_t>(n), [&](int64_t row) {
            const auto i = static_cast<std::size_t>(row);
            const std::span<double> z(&residuals[i * classes_], classes_);
            for (std::size_t j = 0; j < classes_; ++j) z[j] = affine(w.subspan(j * (p + 1), p + 1), {&x[i * p], p});
            losses[i] = softmax_residual(z, static_cast<std::size_t>(known.labels[i]));
        });
        // A class's gradient is one task, so that its sum has one order.
        parallel_for(classes, [&](int64_t which) {
            const auto j = static_cast<std::size_t>(which);
            const std::span<double> g = gradient.subspan(j * (p + 1), p + 1);
            std::copy_n(w.subspan(j * (p + 1)).begin(), p, g.begin());
            g[p] = 0;
            for (std::size_t i = 0; i < n; ++i) {
                const double weight = c * residuals[i * classes_ + j];
                for (std::size_t f = 0; f < p; ++f) g[f] += weight * x[i * p + f];
                g[p] += weight;
            }
        });
        double value = c * std::accumulate(losses.begin(), losses.end(), 0.0);
        for (std::size_t j = 0; j < classes_; ++j)
            for (std::size_t f = 0; f < p; ++f) value += w[j * (p + 1) + f] * w[j * (p + 1) + f] / 2;
        return value;
    };
    weights_ = minimise(objective, std::vector<double>(classes_ * (p + 1)), {.tolerance = 1e-5, .max_steps = 500});
}

std::vector<double> LinearProbe::standardised(const Tensor& rows) const {
    std::vector<double> x(rows.values().begin(), rows.values().end());
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = (x[i] - mean_[i % width_]) / deviation_[i % width_];
    return x;
}

std::vector<double> LinearProbe::logits(const Tensor& asked) const {
    check_asked(asked, static_cast<int64_t>(width_));
    const std::vector<double> x = standardised(asked);
    std::vector<double> z;
    for (std::size_t begin = 0; begin < x.size(); begin += width_)
        for (std::size_t j = 0; j < classes_; ++j)
            z.push_back(affine(std::span(weights_).subspan(j * (width_ + 1), width_ + 1), {&x[begin], width_}));
    return z;
}

std::vector<int64_t> LinearProbe::classify(const Tensor& asked) const {
    const std::vector<double> z = logits(asked);
    std::vector<int64_t> labels;
    for (auto row = z.begin(); row != z.end(); row += static_cast<std::ptrdiff_t>(classes_))
        labels.push_back(std::max_element(row, row + static_cast<std::ptrdiff_t>(classes_)) - row);
    return labels;
}

}  // namespace lethe
