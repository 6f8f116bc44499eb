// A network and images so small that a whole attack or a whole unlearning run is a unit test.
#pragma once

#include <memory>
#include <vector>

#include "nn/model.h"
#include "tensor/random.h"

namespace lethe::test {

inline constexpr int64_t tiny_classes = 5;
inline constexpr int64_t tiny_side = 8;

// A ResNet-8 whose BatchNorm statistics and affine parameters are not the trivial ones of a fresh network.
inline std::unique_ptr<Model> tiny_model(uint64_t seed = 1) {
    ModelSpec spec{.arch = "resnet8", .classes = tiny_classes};
    set_normalization(spec, "cifar10");
    auto model = std::make_unique<Model>(spec, seed);
    const Random random(seed, Purpose::synthetic);
    uint64_t item = 0;
    for (auto& [name, tensor] : model->state()) {
        if (tensor.dtype() != DType::float32 || tensor.rank() != 1) continue;
        float* values = tensor.mutable_data();
        for (int64_t i = 0; i < tensor.numel(); ++i) {
            const float u = random.uniform(item, static_cast<uint32_t>(i)) - 0.5f;
            const bool positive = name.ends_with("running_var") || name.ends_with("weight");
            values[i] = positive ? 1.0f + u : 0.4f * u;
        }
        ++item;
    }
    return model;
}

// n images [n,3,8,8], pixels uniform in [0,1).
inline Tensor tiny_images(int64_t n, uint64_t seed = 7) {
    Tensor images = Tensor::empty({n, 3, tiny_side, tiny_side});
    const Random random(seed, Purpose::synthetic);
    const int64_t pixels = 3 * tiny_side * tiny_side;
    float* out = images.mutable_data();
    for (int64_t i = 0; i < n * pixels; ++i)
        out[i] = random.uniform(static_cast<uint64_t>(i / pixels), static_cast<uint32_t>(i % pixels));
    return images;
}

// What the model says of the images: as labels, they make every image one that is known.
inline std::vector<int64_t> predictions(const Model& model, const Tensor& images) {
    const Tensor logits = predict(*fold_batchnorm(model), images);
    std::vector<int64_t> labels;
    for (int64_t i = 0; i < logits.dim(0); ++i) {
        const float* row = logits.data() + i * logits.dim(1);
        int64_t best = 0;
        for (int64_t j = 1; j < logits.dim(1); ++j)
            if (row[j] > row[best]) best = j;
        labels.push_back(best);
    }
    return labels;
}

}  // namespace lethe::test
