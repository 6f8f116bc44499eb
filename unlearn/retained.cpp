#include "unlearn/retained.h"

#include <algorithm>

#include "tensor/backend.h"

namespace lethe {

StepBatch RetainedImages::batch(std::span<const int64_t> chosen) const {
    return {data->images(chosen), data->labels_of(chosen)};
}

RetainedBatches::RetainedBatches(const RetainedImages& images, int64_t size, uint64_t seed)
    : images_(images), size_(size), seed_(seed) {}

StepBatch RetainedBatches::batch(int64_t step) {
    const int64_t count = images_.size(), batches = (count + size_ - 1) / size_, pass = step / batches;
    if (pass != pass_) {
        pass_ = pass;
        order_ = Random(seed_, Purpose::retain).permutation(count, static_cast<uint64_t>(pass));
        for (int64_t& row : order_) row = images_.indices[static_cast<std::size_t>(row)];
    }
    const int64_t begin = step % batches * size_;
    return images_.batch(std::span(order_).subspan(static_cast<std::size_t>(begin),
                                                   static_cast<std::size_t>(std::min(size_, count - begin))));
}

StateDict mean_over(const RetainedImages& images, const std::function<StateDict(const StepBatch&)>& of_batch) {
    constexpr int64_t piece = 1024;
    const std::span<const int64_t> all = images.indices;
    StateDict total;
    for (int64_t begin = 0; begin < images.size(); begin += piece) {
        const int64_t count = std::min(piece, images.size() - begin);
        const float share = static_cast<float>(count) / static_cast<float>(images.size());
        const StateDict part =
            of_batch(images.batch(all.subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(count))));
        if (total.empty())
            for (const auto& [name, values] : part)
                total.emplace_back(name, Tensor::zeros(values.shape(), values.dtype(), values.device()));
        for (std::size_t i = 0; i < part.size(); ++i)
            backend(total[i].second).axpy(share, part[i].second, total[i].second);
    }
    return total;
}

}  // namespace lethe
