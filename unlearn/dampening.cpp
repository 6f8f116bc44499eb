#include "unlearn/dampening.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <span>

#include "tensor/error.h"
#include "tensor/random.h"

namespace lethe {
namespace {

// Calls change(number of the parameter, its values here), and writes them back; `named` are to be in the model's order.
void change_parameters(Model& model, const StateDict& named,
                       const std::function<void(std::size_t, std::span<float>)>& change) {
    const std::vector<Module::Parameter> parameters = model.net().parameters();
    check(parameters.size() == named.size(), "unlearn: importance of ", named.size(), " tensors for ",
          parameters.size(), " parameters");
    for (std::size_t i = 0; i < parameters.size(); ++i) {
        Tensor target = parameters[i].var.value();
        check(named[i].first == parameters[i].name && named[i].second.shape() == target.shape(),
              "unlearn: the importance of '", named[i].first, "' is not that of '", parameters[i].name, "'");
        Tensor values = target.cpu().clone();
        change(i, {values.mutable_data(), static_cast<std::size_t>(values.numel())});
        target.copy_from(values);
    }
}

}  // namespace

int64_t dampen(Model& model, const StateDict& forget, const StateDict& retain, float alpha, float lambda) {
    int64_t selected = 0;
    check(forget.size() == retain.size(), "unlearn: importances of ", forget.size(), " and of ", retain.size(),
          " tensors");
    change_parameters(model, forget, [&](std::size_t i, std::span<float> weights) {
        const std::span<const float> of_forget = forget[i].second.values(), of_retain = retain[i].second.values();
        for (std::size_t j = 0; j < weights.size(); ++j) {
            if (!(of_forget[j] > alpha * of_retain[j])) continue;
            ++selected;
            weights[j] *= std::min(1.0f, lambda * of_retain[j] / of_forget[j]);
        }
    });
    return selected;
}

void add_fisher_noise(Model& model, const StateDict& fisher, float alpha, uint64_t seed) {
    constexpr double floor = 1e-8;
    const Random random(seed, Purpose::weight_noise);
    change_parameters(model, fisher, [&](std::size_t i, std::span<float> weights) {
        const std::span<const float> curvature = fisher[i].second.values();
        for (std::size_t j = 0; j < weights.size(); ++j) {
            const double deviation =
                std::pow(static_cast<double>(alpha) / (static_cast<double>(curvature[j]) + floor), 0.25);
            weights[j] += static_cast<float>(deviation) * random.normal(i, static_cast<uint32_t>(j));
        }
    });
}

}  // namespace lethe
