// Builders of the architectures, one per file; nn/models/registry.cpp lists them.
#pragma once

#include <memory>

#include "nn/model.h"

namespace lethe {

// He et al., CVPR 2016, section 4.2: depth = 6n + 2 layers of 16, 32, 64 channels on 32x32 images, parameter-free
// shortcuts (option A). Parameter names as in github.com/akamaster/pytorch_resnet_cifar10.
std::unique_ptr<Module> build_resnet_cifar(const ModelSpec& spec, Seed seed, int64_t depth);

// He et al., CVPR 2016, table 1, with torchvision's parameter names. `bottleneck`: 1x1, 3x3 (carrying the stride, as
// torchvision's "v1.5" does), 1x1 with 4 times the channels.
// Stems: "imagenet" 7x7/2 + 3x3/2 max pool, "cifar" 3x3, "cifar-maxpool" 3x3 + 3x3/2 max pool.
std::unique_ptr<Module> build_resnet(const ModelSpec& spec, Seed seed, const std::vector<int64_t>& blocks,
                                     bool bottleneck);

}  // namespace lethe
