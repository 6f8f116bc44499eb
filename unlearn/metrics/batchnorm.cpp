#include "unlearn/metrics/batchnorm.h"

#include <algorithm>
#include <vector>

#include "tensor/error.h"
#include "tensor/ops.h"

namespace lethe {
namespace {

bool is_statistic(const std::string& name) { return name.ends_with("running_mean") || name.ends_with("running_var"); }

// Handles to the model's own memory.
std::vector<Tensor> running_statistics(const Model& model) {
    std::vector<Tensor> statistics;
    for (const Module::Buffer& buffer : model.net().buffers())
        if (is_statistic(buffer.name)) statistics.push_back(buffer.tensor);
    return statistics;
}

}  // namespace

bool has_running_statistics(const Model& model) { return !running_statistics(model).empty(); }

void copy_running_statistics(const Model& from, Model& to) {
    const std::vector<Tensor> source = running_statistics(from);
    std::vector<Tensor> target = running_statistics(to);
    check(source.size() == target.size(), "running statistics: models ", from.spec().arch, " and ", to.spec().arch,
          " differ");
    for (std::size_t i = 0; i < source.size(); ++i) target[i].copy_from(source[i]);
}

void estimate_running_statistics(Model& model, const Tensor& images, int64_t batch_size) {
    check(images.defined() && images.rank() == 4 && images.dim(0) >= 2 && batch_size >= 2,
          "running statistics: at least 2 images are needed, and batches of at least 2");
    const NoGrad inference;
    std::vector<Tensor> statistics = running_statistics(model);
    std::vector<std::vector<double>> sums;
    for (const Tensor& statistic : statistics) sums.emplace_back(static_cast<std::size_t>(statistic.numel()));
    const int64_t size = std::min(batch_size, images.dim(0)), batches = images.dim(0) / size;
    for (int64_t batch = 0; batch < batches; ++batch) {
        // From zeros a pass leaves `momentum` times the batch's own.
        for (Tensor& statistic : statistics) statistic.copy_from(Tensor::zeros(statistic.shape()));
        model.forward(images.rows(batch * size, (batch + 1) * size).to(model.device()), BatchNormMode::batch);
        for (std::size_t i = 0; i < statistics.size(); ++i) {
            const Tensor values = statistics[i].cpu();
            for (std::size_t c = 0; c < sums[i].size(); ++c) sums[i][c] += static_cast<double>(values.data()[c]);
        }
    }
    const double scale = 1 / (static_cast<double>(BatchNorm{}.momentum) * static_cast<double>(batches));
    for (std::size_t i = 0; i < statistics.size(); ++i) {
        Tensor estimate = Tensor::empty(statistics[i].shape());
        float* out = estimate.mutable_data();
        for (std::size_t c = 0; c < sums[i].size(); ++c) out[c] = static_cast<float>(scale * sums[i][c]);
        statistics[i].copy_from(estimate);
    }
}

}  // namespace lethe
