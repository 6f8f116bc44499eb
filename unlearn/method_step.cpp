#include "unlearn/method_step.h"

#include <algorithm>

#include "unlearn/distillation.h"

namespace lethe {

StepLosses::StepLosses(const StepContext& context)
    : context_(context),
      gradients_(context.model, context.options.switches.bn_train_steps),
      retained_(context.task.retained, context.options.compare.retain_batch, context.options.seed) {}

StepBatch StepLosses::forget_batch(int64_t step, std::span<const int64_t> labels) const {
    const int64_t size = context_.options.forget_batch, images = context_.task.images.dim(0);
    const int64_t begin = step % ((images + size - 1) / size) * size;
    return slice_batch(context_.task.images, labels, begin, std::min(images, begin + size));
}

Tensor opinion(Model& teacher, const StepBatch& batch) { return softmax_rows(predict(teacher, batch.images)); }

std::unique_ptr<Model> untrained(const Model& model, uint64_t seed) {
    auto fresh = std::make_unique<Model>(model.spec(), seed ^ 0x756e747261696e65);
    fresh->to(model.device());
    return fresh;
}

}  // namespace lethe
