// D_r for the methods that look at it.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "data/dataset.h"
#include "unlearn/step_terms.h"

namespace lethe {

// Images of a dataset, which must outlive this.
struct RetainedImages {
    const Dataset* data = nullptr;
    std::vector<int64_t> indices;

    int64_t size() const { return static_cast<int64_t>(indices.size()); }
    StepBatch batch(std::span<const int64_t> chosen) const;  // of indices into the dataset
};

// Batches of a pass after another over all of them, each pass in an order of its own from stream Purpose::retain (item
// = pass). No batch spans two passes; the last of a pass may be smaller. Which images a step gets follows from its
// number.
class RetainedBatches {
public:
    RetainedBatches(const RetainedImages& images, int64_t size, uint64_t seed);

    StepBatch batch(int64_t step);

private:
    const RetainedImages& images_;
    int64_t size_;
    uint64_t seed_;
    std::vector<int64_t> order_;  // of pass `pass_`
    int64_t pass_ = -1;
};

// The mean over all images of what `of_batch` gives for some of them as their mean, tensor by tensor; a thousand images
// at a time.
StateDict mean_over(const RetainedImages& images, const std::function<StateDict(const StepBatch&)>& of_batch);

}  // namespace lethe
