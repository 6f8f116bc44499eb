#include "unlearn/metrics/reemergence.h"

#include <algorithm>
#include <limits>

#include "tensor/error.h"

namespace lethe {
namespace {

// Which images are given their label.
std::vector<bool> given_label(Model& twin, const Tensor& images, std::span<const int64_t> labels) {
    const Tensor logits = predict(twin, images);
    const auto classes = static_cast<std::size_t>(logits.dim(1));
    std::vector<bool> given(labels.size());
    for (std::size_t i = 0; i < labels.size(); ++i)
        given[i] = score_row(logits.values().subspan(i * classes, classes), labels[i]).predicted == labels[i];
    return given;
}

int64_t count(const std::vector<bool>& values) { return std::count(values.begin(), values.end(), true); }

}  // namespace

Reemergence reemergence(Model& twin, const Tensor& images, std::span<const int64_t> labels,
                        std::span<const uint64_t> items, const ViewOptions& options) {
    options.validate();
    check(images.defined() && images.rank() == 4 && images.dim(0) >= 1, "re-emergence: there are no images");
    check(static_cast<int64_t>(labels.size()) == images.dim(0), "re-emergence: ", labels.size(), " labels for ",
          images.dim(0), " images");
    Reemergence result;
    result.unchanged = {count(given_label(twin, images, labels)), images.dim(0)};
    result.per_image.assign(labels.size(), 0.0);
    int64_t counted = 0;
    for (const View& view : views()) {
        const int64_t draws = view.random ? options.draws : 1;
        ViewShare share;
        share.view = view.name;
        std::vector<int64_t> hits(labels.size());
        for (int64_t draw = 0; draw < draws; ++draw) {
            const Tensor seen = view_of(view.name, images, items, draw, options);
            share.changes = share.changes || !std::equal(seen.values().begin(), seen.values().end(), images.data());
            const std::vector<bool> given = given_label(twin, seen, labels);
            for (std::size_t i = 0; i < labels.size(); ++i) hits[i] += given[i] ? 1 : 0;
            share.old_label.correct += count(given);
            share.old_label.total += images.dim(0);
        }
        result.views.push_back(share);
        if (!share.changes) continue;
        ++counted;
        for (std::size_t i = 0; i < labels.size(); ++i)
            result.per_image[i] += static_cast<double>(hits[i]) / static_cast<double>(draws);
    }
    if (counted == 0) result.per_image.assign(labels.size(), std::numeric_limits<double>::quiet_NaN());
    for (double& share : result.per_image) {
        if (counted > 0) share /= static_cast<double>(counted);
        result.mean += share / static_cast<double>(labels.size());
    }
    return result;
}

double usual_reemergence(Model& twin, const Tensor& images, std::span<const int64_t> labels,
                         std::span<const int64_t> indices) {
    const ViewOptions suite;
    if (std::min(images.dim(2), images.dim(3)) <= suite.shift) return std::numeric_limits<double>::quiet_NaN();
    const std::vector<uint64_t> items(indices.begin(), indices.end());
    return 100 * reemergence(twin, images, labels, items, suite).mean;
}

}  // namespace lethe
