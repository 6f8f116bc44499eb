#include "nn/cost.h"

#include "autograd/multiply_adds.h"

namespace lethe {

Cost cost_of(const ModelSpec& spec) {
    Model model(spec, std::nullopt);
    Cost cost;
    for (const Module::Parameter& parameter : model.net().parameters())
        cost.parameters += parameter.var.value().numel();
    const int64_t size = model.spec().image_size;
    const NoGrad inference;
    const MultiplyAdds products;
    model.forward(Tensor::zeros({1, 3, size, size}), BatchNormMode::running);
    cost.multiply_adds = products.total();
    return cost;
}

}  // namespace lethe
