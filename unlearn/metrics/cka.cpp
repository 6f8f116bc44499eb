#include "unlearn/metrics/cka.h"

#include <cmath>
#include <vector>

#include "tensor/error.h"
#include "tensor/parallel.h"

namespace lethe {
namespace {

// Xc Xc^T [n,n] in double. Sums over pairs of images are those over pairs of features: |Yc^T Xc|_F^2 is the sum of the
// products of both Gram matrices' entries.
std::vector<double> gram_of(const Tensor& x) {
    const auto n = static_cast<std::size_t>(x.dim(0)), p = static_cast<std::size_t>(x.dim(1));
    std::vector<double> centred(x.values().begin(), x.values().end());
    for (std::size_t f = 0; f < p; ++f) {
        double mean = 0;
        for (std::size_t i = 0; i < n; ++i) mean += centred[i * p + f] / static_cast<double>(n);
        for (std::size_t i = 0; i < n; ++i) centred[i * p + f] -= mean;
    }
    std::vector<double> gram(n * n);
    parallel_for(x.dim(0), [&](int64_t row) {
        const auto i = static_cast<std::size_t>(row);
        for (std::size_t j = 0; j < n; ++j) {
            double sum = 0;
            for (std::size_t f = 0; f < p; ++f) sum += centred[i * p + f] * centred[j * p + f];
            gram[i * n + j] = sum;
        }
    });
    return gram;
}

double inner(const std::vector<double>& a, const std::vector<double>& b) {
    double sum = 0;
    for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
    return sum;
}

}  // namespace

std::optional<double> linear_cka(const Tensor& x, const Tensor& y) {
    check(x.defined() && y.defined() && x.rank() == 2 && y.rank() == 2 && x.dim(0) == y.dim(0) && x.dim(0) >= 1,
          "CKA: both must be features [n,p] of the same images");
    const std::vector<double> k = gram_of(x), l = gram_of(y);
    const double both = std::sqrt(inner(k, k) * inner(l, l));
    if (!(both > 0)) return std::nullopt;
    return inner(k, l) / both;
}

}  // namespace lethe
