// Every architecture, one line each.
#include "nn/models/models.h"
#include "tensor/error.h"

namespace lethe {
namespace {

Architecture cifar(int64_t depth) {
    return {"resnet" + std::to_string(depth),
            "CIFAR ResNet, option-A shortcuts",
            {"cifar"},
            32,
            {},
            [depth](const ModelSpec& spec, Seed seed) { return build_resnet_cifar(spec, seed, depth); },
            10};
}

Architecture imagenet(const char* name, std::vector<int64_t> blocks, bool bottleneck) {
    return {name,
            "torchvision ResNet",
            {"imagenet", "cifar", "cifar-maxpool"},
            224,
            {l2ul_resnet_naming(), huggingface_resnet_naming()},
            [blocks = std::move(blocks), bottleneck](const ModelSpec& spec, Seed seed) {
                return build_resnet(spec, seed, blocks, bottleneck);
            }};
}

// Those whose stems are "imagenet" and "cifar".
template <class Build>
Architecture torchvision(const char* name, const char* family, Build build, std::vector<Naming> namings = {}) {
    return {name, concat("torchvision ", family), {"imagenet", "cifar"}, 224, std::move(namings), std::move(build)};
}

}  // namespace

const std::vector<Architecture>& architectures() {
    static const std::vector<Architecture> all{
        cifar(8),
        cifar(20),
        cifar(32),
        cifar(44),
        cifar(56),
        cifar(110),
        imagenet("resnet18", {2, 2, 2, 2}, false),
        imagenet("resnet34", {3, 4, 6, 3}, false),
        imagenet("resnet50", {3, 4, 6, 3}, true),
        imagenet("resnet101", {3, 4, 23, 3}, true),
        imagenet("resnet152", {3, 8, 36, 3}, true),
        torchvision("mobilenet_v2", "MobileNetV2",
                    [](const ModelSpec& spec, Seed seed) { return build_mobilenet_v2(spec, seed); }),
        torchvision("squeezenet1_0", "SqueezeNet 1.0",
                    [](const ModelSpec& spec, Seed seed) { return build_squeezenet(spec, seed, squeezenet1_0()); }),
        torchvision("squeezenet1_1", "SqueezeNet 1.1",
                    [](const ModelSpec& spec, Seed seed) { return build_squeezenet(spec, seed, squeezenet1_1()); }),
        torchvision("densenet121", "DenseNet-121",
                    [](const ModelSpec& spec, Seed seed) { return build_densenet(spec, seed); },
                    {old_densenet_naming()}),
        {"vit_b_16",
         "torchvision ViT-B/16",
         {"imagenet"},
         224,
         {huggingface_vit_naming(), old_vit_naming()},
         [](const ModelSpec& spec, Seed seed) { return build_vit(spec, seed); }},
    };
    return all;
}

}  // namespace lethe
