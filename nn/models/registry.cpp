// Every architecture, one line each.
#include "nn/models/models.h"
#include "tensor/error.h"

namespace lethe {
namespace {

Architecture cifar(int64_t depth, const char* parameters) {
    return {"resnet" + std::to_string(depth),
            concat("CIFAR ResNet, option-A shortcuts, ", parameters, " parameters"),
            {"cifar"},
            32,
            {},
            [depth](const ModelSpec& spec, Seed seed) { return build_resnet_cifar(spec, seed, depth); }};
}

Architecture imagenet(const char* name, std::vector<int64_t> blocks, bool bottleneck, const char* parameters) {
    return {name,
            concat("torchvision ResNet, ", parameters, " parameters at 1000 classes"),
            {"imagenet", "cifar", "cifar-maxpool"},
            224,
            {l2ul_resnet_naming()},
            [blocks = std::move(blocks), bottleneck](const ModelSpec& spec, Seed seed) {
                return build_resnet(spec, seed, blocks, bottleneck);
            }};
}

// Those whose stems are "imagenet" and "cifar".
template <class Build>
Architecture torchvision(const char* name, const char* family, const char* parameters, Build build,
                         std::vector<Naming> namings = {}) {
    return {name,
            concat("torchvision ", family, ", ", parameters, " parameters at 1000 classes"),
            {"imagenet", "cifar"},
            224,
            std::move(namings),
            std::move(build)};
}

}  // namespace

const std::vector<Architecture>& architectures() {
    static const std::vector<Architecture> all{
        cifar(8, "0.08 M"),
        cifar(20, "0.27 M"),
        cifar(32, "0.46 M"),
        cifar(44, "0.66 M"),
        cifar(56, "0.86 M"),
        cifar(110, "1.73 M"),
        imagenet("resnet18", {2, 2, 2, 2}, false, "11.7 M"),
        imagenet("resnet34", {3, 4, 6, 3}, false, "21.8 M"),
        imagenet("resnet50", {3, 4, 6, 3}, true, "25.6 M"),
        imagenet("resnet101", {3, 4, 23, 3}, true, "44.5 M"),
        imagenet("resnet152", {3, 8, 36, 3}, true, "60.2 M"),
        torchvision("mobilenet_v2", "MobileNetV2", "3.5 M",
                    [](const ModelSpec& spec, Seed seed) { return build_mobilenet_v2(spec, seed); }),
        torchvision("squeezenet1_0", "SqueezeNet 1.0", "1.25 M",
                    [](const ModelSpec& spec, Seed seed) { return build_squeezenet(spec, seed, squeezenet1_0()); }),
        torchvision("squeezenet1_1", "SqueezeNet 1.1", "1.24 M",
                    [](const ModelSpec& spec, Seed seed) { return build_squeezenet(spec, seed, squeezenet1_1()); }),
        torchvision("densenet121", "DenseNet-121", "7.98 M",
                    [](const ModelSpec& spec, Seed seed) { return build_densenet(spec, seed); },
                    {old_densenet_naming()}),
    };
    return all;
}

}  // namespace lethe
