#include "nn/average.h"

#include <algorithm>

#include "tensor/error.h"

namespace lethe {

WeightAverage::WeightAverage(const Model& model, float decay)
    : source_(model), average_(model.clone()), op_{.decay = decay, .scalars = {}} {
    check(decay > 0 && decay < 1, "ema: the decay is ", decay, "; it must be in (0, 1)");
    const StateDict from = source_.state(), to = average_->state();
    for (std::size_t i = 0; i < from.size(); ++i)
        if (from[i].second.dtype() == DType::float32) items_.push_back({to[i].second, from[i].second});
    op_.scalars = Tensor::full({1}, decay, model.device());
}

void WeightAverage::prepare_step(int64_t step) {
    const auto t = static_cast<double>(step);
    const float decay = std::min(op_.decay, static_cast<float>((1 + t) / (10 + t)));
    backend(op_.scalars).set_scalars(op_.scalars, std::span(&decay, 1));
}

void WeightAverage::apply_step() { backend(op_.scalars).ema(items_, op_); }

const Model& WeightAverage::model() {
    const StateDict from = source_.state();
    StateDict to = average_->state();
    for (std::size_t i = 0; i < from.size(); ++i)
        if (from[i].second.dtype() != DType::float32) to[i].second.copy_from(from[i].second);
    return *average_;
}

void WeightAverage::load_state(const StateDict& state) { average_->load_state(state); }

}  // namespace lethe
