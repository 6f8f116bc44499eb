// What a model's convolutions ask of cuDNN. For builds with cuDNN only.
#pragma once

#include <dlfcn.h>

#include <set>
#include <string>
#include <vector>

#include "bench/support/model_convolutions.h"
#include "cuda/cudnn/convolution_key.h"

namespace lethe::bench {

// cuDNN proposes kernels that it compiles at run time only where a driver is loaded. The toolkit's stub will do for
// that, but every call of it fails, so nothing can be loaded with it.
inline bool load_driver_or_stub() {
    for (const char* file : {"libcuda.so.1", LETHE_CUDA_STUB})
        if (dlopen(file, RTLD_NOW | RTLD_GLOBAL) != nullptr) return true;
    return false;
}

struct Network {
    std::string arch, stem;
    int64_t size;  // images are size x size pixels
};

// The architectures that have pages of results: CIFAR images, and ImageNet ones where the stem is made for those.
inline std::vector<Network> networks() {
    return {{"resnet20", "cifar", 32},
            {"resnet18", "cifar", 32},
            {"resnet18", "cifar-maxpool", 32},
            {"resnet18", "imagenet", 224},
            {"resnet50", "imagenet", 224}};
}

// Training, and the folded model with the gradients of an attack.
inline std::vector<cuda::ConvolutionKind> kinds_of(const ModelConvolution& conv) {
    using enum cuda::ConvolutionKind;
    std::vector<cuda::ConvolutionKind> kinds = {forward, grad_x, grad_w};
    if (conv.residual)
        kinds.push_back(forward_bias_residual_relu);
    else
        kinds.insert(kinds.end(), {forward_bias, forward_bias_relu});
    if (conv.relu) kinds.push_back(conv.branches ? grad_x_skip_relu_mask : grad_x_relu_mask);
    return kinds;
}

inline std::set<cuda::ConvolutionKey> keys_of(const Network& network, int64_t images) {
    ModelSpec spec;
    spec.arch = network.arch;
    spec.stem = network.stem;
    std::set<cuda::ConvolutionKey> keys;
    for (const ModelConvolution& conv : convolutions_of(spec, network.size))
        for (const cuda::ConvolutionKind kind : kinds_of(conv))
            for (const Precision precision : {Precision::strict, Precision::tf32, Precision::bf16})
                keys.insert(cuda::convolution_key(kind, conv.x.with_rows(images), conv.w, conv.op, precision));
    return keys;
}

}  // namespace lethe::bench
