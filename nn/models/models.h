// Builders of the architectures, one per file; nn/models/registry.cpp lists them.
#pragma once

#include <memory>

#include "nn/model.h"

namespace lethe {

// He et al., CVPR 2016, section 4.2: depth = 6n + 2 layers of 16, 32, 64 channels on 32x32 images, parameter-free
// shortcuts (option A). Parameter names as in github.com/akamaster/pytorch_resnet_cifar10.
std::unique_ptr<Module> build_resnet_cifar(const ModelSpec& spec, Seed seed, int64_t depth);

// He et al., CVPR 2016, table 1, with torchvision's parameter names. `bottleneck`: 1x1, 3x3 (carrying the stride, as
// torchvision's "v1.5" does), 1x1 with 4 times the channels. `width`: channels of the first stage; they double at each.
// Stems: "imagenet" 7x7/2 + 3x3/2 max pool, "cifar" 3x3, "cifar-maxpool" 3x3 + 3x3/2 max pool.
std::unique_ptr<Module> build_resnet(const ModelSpec& spec, Seed seed, const std::vector<int64_t>& blocks,
                                     bool bottleneck, int64_t width = 64);

// The names of github.com/csm9493/L2UL, resnet_cifar100.py, for the stem "cifar": conv1.0,
// conv2_x.0.residual_function.0, shortcut.0, fc.
Naming l2ul_resnet_naming();
// The names of Hugging Face's ResNetForImageClassification, whose ResNets are these: resnet.embedder.embedder,
// resnet.encoder.stages.0.layers.0.layer.0, shortcut, classifier.1.
Naming huggingface_resnet_naming();

// Sandler et al., CVPR 2018, table 2, with torchvision's parameter names. Stems: "imagenet", and "cifar" with a first
// convolution of stride 1.
struct MobileNetV2Config {
    struct Stage {
        int64_t expansion, channels, blocks, stride;
    };
    std::vector<Stage> stages = {{1, 16, 1, 1}, {6, 24, 2, 2},  {6, 32, 3, 2}, {6, 64, 4, 2},
                                 {6, 96, 3, 1}, {6, 160, 3, 2}, {6, 320, 1, 1}};
    double width = 1.0;    // multiplies channels, which are then rounded to multiples of 8
    float dropout = 0.2f;  // of the features in front of the classifier
};
std::unique_ptr<Module> build_mobilenet_v2(const ModelSpec& spec, Seed seed, const MobileNetV2Config& config = {});

// Iandola et al., 2016, with torchvision's parameter names: no BatchNorm, and a convolution for a classifier. Stems:
// "imagenet", and "cifar": 3x3 of stride 1 without the pooling behind it.
struct SqueezeNetConfig {
    // A fire module with that many channels between and that many of each of its two outputs; {0, 0} is a 3x3/2 max
    // pooling.
    struct Layer {
        int64_t squeeze, expand;
    };
    int64_t channels, kernel;   // of the first convolution
    std::vector<Layer> layers;  // from torchvision's features.3 on
    float dropout = 0.5f;       // of the features in front of the classifier
};
std::unique_ptr<Module> build_squeezenet(const ModelSpec& spec, Seed seed, const SqueezeNetConfig& config);
SqueezeNetConfig squeezenet1_0();
SqueezeNetConfig squeezenet1_1();  // a third of the computation (the authors' repository)

// Huang et al., CVPR 2017 ("DenseNet-BC"), with torchvision's parameter names. Stems: "imagenet" 7x7/2 + 3x3/2 max
// pool, "cifar" 3x3.
struct DenseNetConfig {
    std::vector<int64_t> blocks = {6, 12, 24, 16};  // layers of each
    int64_t growth = 32;                            // channels that a layer adds
    int64_t initial = 64;                           // channels of the first convolution
    int64_t bottleneck = 4;                         // a layer's inner channels, in multiples of `growth`
};
std::unique_ptr<Module> build_densenet(const ModelSpec& spec, Seed seed, const DenseNetConfig& config = {});
// The names in the files that torchvision publishes, which are older than its present ones: denselayer1.norm.1.
Naming old_densenet_naming();

// Dosovitskiy et al., ICLR 2021, with torchvision's parameter names: patches become tokens, and the class token is
// classified. The model takes images of spec.image_size only, which must be a multiple of `patch`.
struct ViTConfig {
    int64_t patch = 16, layers = 12, heads = 12, hidden = 768, mlp = 3072;
};
std::unique_ptr<Module> build_vit(const ModelSpec& spec, Seed seed, const ViTConfig& config = {});
// Hugging Face transformers' ViTForImageClassification: queries, keys and values apart, and a layer norm's eps of 1e-12
// (torchvision's is 1e-6).
Naming huggingface_vit_naming();
// The names in the files that torchvision publishes, which are older than its present ones: mlp.linear_1.
Naming old_vit_naming();

}  // namespace lethe
