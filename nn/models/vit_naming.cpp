// Hugging Face's names of a Vision Transformer (transformers, models/vit/modeling_vit.py).
#include <array>
#include <map>

#include "nn/layers.h"
#include "nn/models/models.h"
#include "tensor/error.h"

namespace lethe {
namespace {

struct Part {
    const char *theirs, *ours;
};
// Whole names and beginnings of names, but for the layers'.
constexpr std::array<Part, 5> outside{{{"vit.embeddings.cls_token", "class_token"},
                                       {"vit.embeddings.position_embeddings", "encoder.pos_embedding"},
                                       {"vit.embeddings.patch_embeddings.projection.", "conv_proj."},
                                       {"vit.layernorm.", "encoder.ln."},
                                       {"classifier.", "heads.head."}}};
// Behind a layer's number.
constexpr std::array<Part, 5> inside{{{".attention.output.dense.", ".self_attention.out_proj."},
                                      {".intermediate.dense.", ".mlp.0."},
                                      {".output.dense.", ".mlp.3."},
                                      {".layernorm_before.", ".ln_1."},
                                      {".layernorm_after.", ".ln_2."}}};
constexpr const char* their_layer = "vit.encoder.layer.";
constexpr const char* our_layer = "encoder.layers.encoder_layer_";
constexpr const char* their_attention = ".attention.attention.";
constexpr const char* our_stack = ".self_attention.in_proj_";
constexpr std::array<const char*, 3> stacked{"query", "key", "value"};  // in this order in our in_proj

// A layer's entry taken apart: "<beginning>7.ln_1.weight" is {"7", ".ln_1.weight"}; empty for other names.
struct LayerName {
    std::string number, rest;
};
LayerName layer_name(const std::string& name, const std::string& beginning) {
    if (!name.starts_with(beginning)) return {};
    const std::size_t dot = name.find('.', beginning.size());
    if (dot == std::string::npos) return {};
    return {name.substr(beginning.size(), dot - beginning.size()), name.substr(dot)};
}

template <std::size_t n>
std::string swapped(const std::string& name, const std::array<Part, n>& parts, const char* Part::*from,
                    const char* Part::*to) {
    for (const Part& part : parts)
        if (name.starts_with(part.*from)) return part.*to + name.substr(std::string(part.*from).size());
    return name;
}

// Tensors of one shape after one another along the first dimension.
Tensor stack(const std::array<Tensor, 3>& parts) {
    std::vector<int64_t> shape = parts[0].shape().dims();
    const int64_t rows = shape[0];
    shape[0] = 3 * rows;
    Tensor whole = Tensor::empty(Shape(shape), parts[0].dtype(), parts[0].device());
    for (std::size_t i = 0; i < parts.size(); ++i) {
        const auto at = static_cast<int64_t>(i) * rows;
        whole.rows(at, at + rows).copy_from(parts[i]);
    }
    return whole;
}

StateDict to_ours(const StateDict& theirs) {
    StateDict ours;
    std::map<std::string, std::array<Tensor, 3>> stacks;  // by our names
    for (const auto& [name, tensor] : theirs) {
        const LayerName layer = layer_name(name, their_layer);
        if (layer.rest.empty()) {
            ours.emplace_back(swapped(name, outside, &Part::theirs, &Part::ours), tensor);
            continue;
        }
        std::size_t which = 0;
        while (which < 3 && !layer.rest.starts_with(concat(their_attention, stacked[which], "."))) ++which;
        if (which < 3) {
            const std::string last = layer.rest.substr(layer.rest.rfind('.') + 1);
            stacks[our_layer + layer.number + our_stack + last][which] = tensor;
        } else {
            ours.emplace_back(our_layer + layer.number + swapped(layer.rest, inside, &Part::theirs, &Part::ours),
                              tensor);
        }
    }
    for (const auto& [name, parts] : stacks) {
        for (std::size_t i = 0; i < 3; ++i) {
            check(parts[i].defined(), "these weights have no ", stacked[i], " for '", name,
                  "', which is made of query, key and value");
            check(parts[i].shape() == parts[0].shape() && parts[i].dtype() == parts[0].dtype() && parts[i].rank() >= 1,
                  "'", name, "' is made of query, key and value of one shape, but these are ", parts[0].shape(),
                  " and ", stacked[i], " ", parts[i].shape());
        }
        ours.emplace_back(name, stack(parts));
    }
    return ours;
}

StateDict from_ours(const StateDict& ours) {
    StateDict theirs;
    for (const auto& [name, tensor] : ours) {
        const LayerName layer = layer_name(name, our_layer);
        if (layer.rest.empty()) {
            theirs.emplace_back(swapped(name, outside, &Part::ours, &Part::theirs), tensor);
            continue;
        }
        const std::string beginning = their_layer + layer.number;
        if (!layer.rest.starts_with(our_stack)) {
            theirs.emplace_back(beginning + swapped(layer.rest, inside, &Part::ours, &Part::theirs), tensor);
            continue;
        }
        const std::string last = layer.rest.substr(std::string(our_stack).size());
        const int64_t rows = tensor.dim(0) / 3;
        for (std::size_t i = 0; i < 3; ++i) {
            const auto at = static_cast<int64_t>(i) * rows;
            theirs.emplace_back(concat(beginning, their_attention, stacked[i], ".", last),
                                tensor.rows(at, at + rows).clone());
        }
    }
    return theirs;
}

void set_eps(Module& net) {
    net.for_each([](Module& module) {
        if (auto* norm = dynamic_cast<LayerNorm*>(&module)) norm->eps = 1e-12f;
    });
}

}  // namespace

Naming huggingface_vit_naming() { return {"huggingface", "vit.embeddings.cls_token", to_ours, from_ours, set_eps}; }

}  // namespace lethe
