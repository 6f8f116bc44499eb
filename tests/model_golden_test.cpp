// Every torchvision architecture against torchvision (tests/golden/make_models.py): narrow ones element by element, and
// those of the registry at full size.
#include <gtest/gtest.h>

#include <cmath>

#include "autograd/ops.h"
#include "nn/models/models.h"
#include "tests/support/golden.h"

namespace lethe::test {
namespace {

std::string with_underscores(std::string name) {
    for (char& letter : name)
        if (letter == '.' || letter == '-') letter = '_';
    return name;
}

Tensor hashed_images(const std::string& name, int64_t count, int64_t size) {
    std::vector<float> pixels = hashed(name, count * 3 * size * size);
    for (float& pixel : pixels) pixel += 0.5f;
    return Tensor::from_nchw({count, 3, size, size}, pixels);
}

// ---- narrow networks ----

struct Narrow {
    std::string name;  // in models.safetensors
    std::function<std::unique_ptr<Module>(const ModelSpec&)> build;
    std::string stem;
    std::optional<Naming> naming;  // of the weights; none: ours
};

std::unique_ptr<Module> basic(const ModelSpec& spec) {
    return build_resnet(spec, 0, {1, 2, 1, 1}, false, spec.stem == "imagenet" ? 8 : 4);
}
std::unique_ptr<Module> bottleneck(const ModelSpec& spec) { return build_resnet(spec, 0, {1, 2, 1, 1}, true, 4); }
std::unique_ptr<Module> mobilenet_v2(const ModelSpec& spec) {
    return build_mobilenet_v2(
        spec, 0, {.stages = {{1, 16, 1, 1}, {6, 24, 2, 2}, {6, 32, 2, 2}, {6, 20, 1, 1}}, .width = 0.5, .dropout = 0});
}
std::unique_ptr<Module> squeezenet(const ModelSpec& spec, SqueezeNetConfig config) {
    config.channels /= 8;
    config.dropout = 0;  // as in the golden script
    for (SqueezeNetConfig::Layer& layer : config.layers) layer = {layer.squeeze / 8, layer.expand / 8};
    return build_squeezenet(spec, 0, config);
}
std::unique_ptr<Module> squeezenet1_0(const ModelSpec& spec) { return squeezenet(spec, lethe::squeezenet1_0()); }
std::unique_ptr<Module> squeezenet1_1(const ModelSpec& spec) { return squeezenet(spec, lethe::squeezenet1_1()); }
std::unique_ptr<Module> densenet(const ModelSpec& spec) {
    return build_densenet(spec, 0, {.blocks = {2, 3, 1, 2}, .growth = 4, .initial = 16});
}

class NarrowModelGolden : public testing::TestWithParam<Narrow> {
protected:
    NarrowModelGolden() {
        const Narrow& narrow = GetParam();
        net_ = narrow.build({.classes = 7, .stem = narrow.stem});
        StateDict ours = net_->state(), filled = copy_of(ours);
        if (narrow.naming) filled = narrow.naming->from_ours(filled);
        fill_hashed(filled);
        theirs_ = filled;
        if (narrow.naming) filled = narrow.naming->to_ours(filled);
        for (auto& [name, tensor] : ours) tensor.copy_from(entry(filled, name));
        images_ = hashed_images("images " + std::to_string(expected("images").int64_values()[0]),
                                expected("labels").numel(), expected("size").int64_values()[0]);
    }

    const Tensor& expected(const std::string& name) const {
        static const Golden golden("models");
        return golden[GetParam().name + "." + name];
    }

    // Under the names that the weights came with, in their order, which is PyTorch's.
    StateDict under_their_names(const StateDict& ours) const {
        return GetParam().naming ? GetParam().naming->from_ours(ours) : ours;
    }

    std::unique_ptr<Module> net_;
    StateDict theirs_;
    Tensor images_;
};

TEST_P(NarrowModelGolden, InferenceLogitsAndImageGradient) {
    Var images(images_, true);
    const Var logits = net_->forward(images, BatchNormMode::running);
    EXPECT_TRUE(close_to_scale(logits.value(), expected("eval.logits"), network));
    sum(softmax_cross_entropy(logits, expected("labels"))).backward();
    EXPECT_TRUE(close_to_scale(images.grad(), expected("eval.grad_images"), network));
}

TEST_P(NarrowModelGolden, TrainingLogitsEveryGradientAndBuffer) {
    const Var logits = net_->forward(images_, BatchNormMode::batch);
    EXPECT_TRUE(close_to_scale(logits.value(), expected("train.logits"), network));
    mean(softmax_cross_entropy(logits, expected("labels"))).backward();
    StateDict gradients, buffers;
    for (const Module::Parameter& parameter : net_->parameters())
        gradients.emplace_back(parameter.name, parameter.var.grad());
    for (const Module::Buffer& buffer : net_->buffers()) buffers.emplace_back(buffer.name, buffer.tensor);
    for (const auto& [name, gradient] : under_their_names(gradients))
        EXPECT_TRUE(close_to_scale(gradient, expected("train.grad." + name), network)) << name;
    for (const auto& [name, buffer] : under_their_names(buffers)) {
        const Tensor& wanted = expected("train.after." + name);
        if (buffer.dtype() == DType::int64)
            EXPECT_TRUE(identical(buffer, wanted)) << name;
        else
            EXPECT_TRUE(close_to_scale(buffer, wanted, network)) << name;
    }
}

// That nothing of PyTorch's is left over.
TEST_P(NarrowModelGolden, HasPyTorchsEntriesInPyTorchsOrder) {
    static const Golden golden("models");
    std::vector<std::string> parameters, buffers, expected_parameters, expected_buffers;
    for (const auto& [name, tensor] : under_their_names(net_->state()))
        (name.ends_with("running_mean") || name.ends_with("running_var") || name.ends_with("num_batches_tracked")
             ? buffers
             : parameters)
            .push_back(name);
    for (const auto& [name, tensor] : golden.below(GetParam().name + ".train.grad."))
        expected_parameters.push_back(name);
    for (const auto& [name, tensor] : golden.below(GetParam().name + ".train."))
        if (name.starts_with("after.")) expected_buffers.push_back(name.substr(6));
    EXPECT_EQ(parameters, expected_parameters);
    EXPECT_EQ(buffers, expected_buffers);
}

std::vector<Narrow> narrow_networks() {
    std::vector<Narrow> all;
    for (const auto& [name, build] : {std::pair("basic", &basic), {"bottleneck", bottleneck}}) {
        for (const char* stem : {"imagenet", "cifar", "cifar-maxpool"})
            all.push_back({concat(name, ".", stem), build, stem, {}});
        all.push_back({concat(name, ".l2ul-cifar100"), build, "cifar", l2ul_resnet_naming()});
    }
    for (const auto& [name, build] : {std::pair("mobilenet_v2", &mobilenet_v2),
                                      {"squeezenet1_0", squeezenet1_0},
                                      {"squeezenet1_1", squeezenet1_1},
                                      {"densenet", densenet}})
        for (const char* stem : {"imagenet", "cifar"}) all.push_back({concat(name, ".", stem), build, stem, {}});
    return all;
}
INSTANTIATE_TEST_SUITE_P(All, NarrowModelGolden, testing::ValuesIn(narrow_networks()),
                         [](const auto& tested) { return with_underscores(tested.param.name); });

// ---- full size ----

// Of a gradient [N,3,H,W]: the norm of each channel of each image.
Tensor channel_norms(const Tensor& gradient) {
    const std::vector<float> values = gradient.to_nchw();
    const auto pixels = static_cast<std::size_t>(gradient.dim(2) * gradient.dim(3));
    std::vector<float> norms;
    for (std::size_t begin = 0; begin < values.size(); begin += pixels) {
        double squares = 0;
        for (std::size_t i = begin; i < begin + pixels; ++i) squares += double{values[i]} * double{values[i]};
        norms.push_back(static_cast<float>(std::sqrt(squares)));
    }
    return Tensor::from_nchw({gradient.dim(0), gradient.dim(1)}, norms);
}

class FullSizeGolden : public testing::TestWithParam<const char*> {};

TEST_P(FullSizeGolden, SlowLogitsAndImageGradientAt224) {
    static const Golden golden("full_size");
    const StateDict expected = golden.below(concat(GetParam(), "."));
    ModelSpec spec{.arch = GetParam(), .classes = 1000};
    set_normalization(spec, "imagenet");
    Model model(spec, std::nullopt);
    fill_hashed(model.state());
    const auto twin = fold_batchnorm(model);

    Var images(hashed_images("images", 2, 224), true);
    Var logits = twin->forward(images, BatchNormMode::running);
    std::vector<float> every_40th;
    for (int64_t i = 0; i < logits.value().numel(); i += 40) every_40th.push_back(logits.value().data()[i]);
    EXPECT_TRUE(close_to_scale(Tensor::from_nchw({2, 25}, every_40th), entry(expected, "logits"), network));

    std::vector<float> weights = hashed("logits", 1000);
    weights.insert(weights.end(), weights.begin(), weights.begin() + 1000);
    logits.backward(Tensor::from_nchw({2, 1000}, weights));
    // Rounding decides the sign of some relu input, and each such case moves the gradient of single pixels: PyTorch in
    // float32 is up to 5.7e-3 (mobilenet_v2; resnet34 2.9e-3, densenet121 1.4e-4) from PyTorch in float64, in this
    // measure. Another order of additions meets other signs, so a few times that is allowed.
    const Tensor patches = scale(avg_pool2d(images.grad(), {.kernel = 28, .stride = 28}), 28 * 28).value();
    for (const auto& [name, actual] : {std::pair("gradient", patches), {"norms", channel_norms(images.grad())}}) {
        const Tensor& wanted = entry(expected, name);
        EXPECT_TRUE(moved_alike(actual, wanted, Tensor::zeros(wanted.shape()), 0.03)) << name;
    }
}

INSTANTIATE_TEST_SUITE_P(Registry, FullSizeGolden,
                         testing::Values("resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "mobilenet_v2",
                                         "squeezenet1_0", "squeezenet1_1", "densenet121"),
                         [](const auto& tested) { return std::string(tested.param); });

}  // namespace
}  // namespace lethe::test
