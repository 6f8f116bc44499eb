#include "unlearn/weight_subset.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

#include "autograd/ops.h"
#include "tensor/error.h"
#include "unlearn/step_terms.h"

namespace lethe {
namespace {

Tensor ones_less(const Tensor& mask) {
    return backend(mask).binary(Binary::sub, Tensor::full(mask.shape(), 1.0f, mask.device()), mask);
}

}  // namespace

HeldWeights::HeldWeights(const Model& model, const StateDict& moves) {
    const std::vector<Module::Parameter> parameters = model.net().parameters();
    for (const auto& [name, mask] : moves) {
        const auto found = std::find_if(parameters.begin(), parameters.end(),
                                        [&, &entry = name](const auto& parameter) { return parameter.name == entry; });
        check(found != parameters.end(), "unlearn: '", name, "' is to be held and is no parameter");
        const Tensor value = found->var.value(), there = mask.to(value.device());
        entries_.push_back({value, there, backend(value).binary(Binary::mul, ones_less(there), value)});
    }
}

void HeldWeights::restore() {
    for (Entry& entry : entries_) {
        Backend& device = backend(entry.value);
        const Tensor moved = device.binary(Binary::mul, entry.moves, entry.value);
        entry.value.copy_from(device.binary(Binary::add, moved, entry.held));
    }
}

StateDict salient_weights(const Model& model, const Tensor& images, std::span<const int64_t> labels, float share,
                          int64_t batch) {
    const std::unique_ptr<Model> own = model.clone();
    own->net().zero_grad();
    const Gradients gradients(*own, false);
    Terms terms;
    const int64_t rows = images.dim(0);
    for (int64_t begin = 0; begin < rows; begin += batch) {
        const int64_t end = std::min(rows, begin + batch);
        gradients.cross_entropy(terms, slice_batch(images, labels, begin, end),
                                static_cast<double>(end - begin) / static_cast<double>(rows));
    }
    StateDict mask;
    std::vector<float> magnitudes;
    for (const auto& [name, var] : own->net().parameters()) {
        const Tensor gradient = var.grad().defined() ? var.grad().cpu() : Tensor::zeros(var.shape());
        for (const float value : gradient.values()) magnitudes.push_back(std::abs(value));
        mask.emplace_back(name, Tensor::zeros(var.shape()));
    }
    std::vector<uint32_t> order(magnitudes.size());
    std::iota(order.begin(), order.end(), 0u);
    const auto chosen =
        static_cast<std::ptrdiff_t>(std::llround(static_cast<double>(share) * static_cast<double>(magnitudes.size())));
    std::nth_element(order.begin(), order.begin() + chosen, order.end(), [&](uint32_t a, uint32_t b) {
        return magnitudes[a] != magnitudes[b] ? magnitudes[a] > magnitudes[b] : a < b;
    });
    std::vector<bool> salient(magnitudes.size());
    for (auto at = order.begin(); at != order.begin() + chosen; ++at) salient[*at] = true;
    std::size_t next = 0;
    for (auto& [name, values] : mask)
        for (float& value : std::span(values.mutable_data(), static_cast<std::size_t>(values.numel())))
            value = salient[next++] ? 1.0f : 0.0f;
    return mask;
}

std::size_t last_layers_begin(const Model& model, int64_t k) {
    const StateDict state = model.state();
    int64_t layers = 0;
    for (std::size_t i = state.size(); i-- > 0;)
        if (state[i].second.rank() >= 2 && ++layers == k) return i;
    fail("unlearn: the last ", k, " layers are to be trained, and ", model.spec().arch, " has ", layers);
}

FrozenBelow::FrozenBelow(Model& model, int64_t k) : model_(model) {
    const StateDict state = model.state();
    std::set<std::string> frozen;
    for (std::size_t i = 0; i < last_layers_begin(model, k); ++i) frozen.insert(state[i].first);
    for (Module::Parameter& parameter : model.net().parameters())
        if (frozen.contains(parameter.name)) parameter.var.set_requires_grad(false);
    for (const Module::Buffer& buffer : model.net().buffers())
        if (frozen.contains(buffer.name)) statistics_.emplace_back(buffer.tensor, buffer.tensor.clone());
}

FrozenBelow::~FrozenBelow() { model_.net().set_requires_grad(true); }

void FrozenBelow::restore() {
    for (auto& [own, value] : statistics_) own.copy_from(value);
}

}  // namespace lethe
