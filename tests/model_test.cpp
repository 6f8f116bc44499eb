// Models: folding, loading, and every architecture of the registry.
#include "nn/model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "autograd/multiply_adds.h"
#include "nn/cost.h"
#include "tensor/parallel.h"
#include "tests/support/golden.h"

namespace lethe::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;

// Running statistics far from their initial values, so that folding has something to fold.
void unsettle(Model& model) {
    const NoGrad inference;
    model.forward(random_tensor({4, 3, 32, 32}, 5), BatchNormMode::batch);
}

class Architectures : public testing::TestWithParam<std::string> {};

TEST_P(Architectures, SlowFoldsClonesAndPredicts) {
    Model model({.arch = GetParam(), .classes = 7, .image_size = 32}, 3);
    unsettle(model);
    const Tensor images = random_tensor({3, 3, 32, 32}, 6);
    const auto twin = fold_batchnorm(model);
    const NoGrad inference;
    const Tensor logits = model.forward(images, BatchNormMode::running).value();
    EXPECT_EQ(logits.shape(), (Shape{3, 7}));
    EXPECT_TRUE(close(predict(*twin, images), logits, network, 9.0 * 512));
    EXPECT_TRUE(identical(twin->forward(images, BatchNormMode::batch).value(),
                          twin->forward(images, BatchNormMode::running).value()));
    EXPECT_TRUE(identical(model.clone()->forward(images, BatchNormMode::running).value(), logits));
    for (const auto& [name, tensor] : model.state()) EXPECT_GT(tensor.numel(), 0) << name;
}

std::vector<std::string> names() {
    std::vector<std::string> all;
    for (const Architecture& architecture : architectures()) all.push_back(architecture.name);
    return all;
}
INSTANTIATE_TEST_SUITE_P(Registry, Architectures, testing::ValuesIn(names()),
                         [](const auto& tested) { return tested.param; });

TEST(Model, NamesAndShapesArePyTorchs) {
    const Model cifar({.arch = "resnet20"});
    const StateDict state = cifar.state();
    EXPECT_EQ(state[0].first, "conv1.weight");
    EXPECT_EQ(state[1].first, "bn1.weight");
    EXPECT_EQ(state[6].first, "layer1.0.conv1.weight");
    EXPECT_EQ(state.back().first, "linear.bias");
}

// "num_params" and "GFLOPS" of torchvision's weights, which are multiply-adds rounded to three decimals; He et al. 2016
// count 0.27 M parameters of ResNet-20 and the sizes of its layers give the multiply-adds.
TEST(Model, CostIsWhatIsPublished) {
    struct Published {
        const char* arch;
        int64_t parameters;
        double giga;
    };
    for (const Published& known : {Published{"resnet20", 269722, 0.041},
                                   {"resnet18", 11689512, 1.814},
                                   {"resnet34", 21797672, 3.664},
                                   {"resnet50", 25557032, 4.089},
                                   {"resnet101", 44549160, 7.801},
                                   {"resnet152", 60192808, 11.514},
                                   {"mobilenet_v2", 3504872, 0.301},
                                   {"squeezenet1_0", 1248424, 0.819},
                                   {"squeezenet1_1", 1235496, 0.349},
                                   {"densenet121", 7978856, 2.834},
                                   {"vit_b_16", 86567656, 17.564}}) {
        const Cost cost = cost_of({.arch = known.arch, .classes = find_architecture(known.arch).classes});
        EXPECT_EQ(cost.parameters, known.parameters) << known.arch;
        EXPECT_NEAR(static_cast<double>(cost.multiply_adds) * 1e-9, known.giga, 0.0005) << known.arch;
    }
}

TEST(Model, CountingIsOneAtATimeAndEndsWithItsScope) {
    Model model({.arch = "resnet8"}, 1);
    const Tensor images = random_tensor({1, 3, 32, 32}, 2);
    const NoGrad inference;
    const Tensor before = model.forward(images, BatchNormMode::running).value();
    {
        const MultiplyAdds products;
        EXPECT_THAT(error_of([] { const MultiplyAdds second; }), HasSubstr("counting already"));
        model.forward(images, BatchNormMode::running);
        // 3x3 convolutions: 3 -> 16 at 32x32; two of 16 -> 16; 16 -> 32 and 32 -> 32 at 16x16; 32 -> 64 and 64 -> 64 at
        // 8x8. Then 64 -> 10.
        EXPECT_EQ(products.total(), 9 * (1024 * (3 * 16 + 2 * 256) + 256 * (512 + 1024) + 64 * (2048 + 4096)) + 640);
    }
    EXPECT_TRUE(identical(model.forward(images, BatchNormMode::running).value(), before));
}

TEST(Model, LoadingIsStrictAndNamesEverything) {
    Model model({.arch = "resnet8"});
    StateDict state = Model({.arch = "resnet8"}, 1).state();
    const Tensor before = model.state()[0].second.clone();
    state.emplace_back("extra.weight", Tensor::zeros({1}));
    for (auto& [name, tensor] : state) {
        if (name == "linear.weight") tensor = Tensor::zeros({3, 3});
        if (name == "bn1.bias") name = "bn1.bais";
    }
    EXPECT_THAT(error_of([&] { model.load_state(state); }),
                AllOf(HasSubstr("missing (1): bn1.bias"), HasSubstr("extra.weight"), HasSubstr("bn1.bais"),
                      HasSubstr("linear.weight is [3, 3], needs [10, 64]")));
    EXPECT_TRUE(identical(model.state()[0].second, before)) << "a refused state dict changed the model";
}

TEST(Model, ModulePrefixAndOldFilesWithoutCountersLoad) {
    const Model source({.arch = "resnet8"}, 1);
    StateDict state;
    for (const auto& [name, tensor] : source.state())
        if (!name.ends_with("num_batches_tracked")) state.emplace_back("module." + name, tensor);
    Model model({.arch = "resnet8"});
    model.load_state(state);
    EXPECT_TRUE(identical(model.state()[0].second, source.state()[0].second));
}

// Names as resnet_cifar100.py of the unlearning reference has them; the bottleneck's third convolution too.
TEST(Model, TheReferencesCifar100ResNetIsOurs) {
    const Model source({.arch = "resnet50", .classes = 100, .stem = "cifar"}, 1);
    const StateDict theirs = state_under(source, "l2ul-cifar100");
    const auto is_at = [&](std::size_t i, const char* name) { return theirs[i].first == name; };
    EXPECT_TRUE(is_at(0, "conv1.0.weight")) << theirs[0].first;
    EXPECT_TRUE(is_at(5, "conv1.1.num_batches_tracked")) << theirs[5].first;
    EXPECT_TRUE(is_at(6, "conv2_x.0.residual_function.0.weight")) << theirs[6].first;
    EXPECT_TRUE(is_at(19, "conv2_x.0.residual_function.7.weight")) << theirs[19].first;
    EXPECT_TRUE(is_at(24, "conv2_x.0.shortcut.0.weight")) << theirs[24].first;
    EXPECT_TRUE(is_at(theirs.size() - 3, "conv5_x.2.residual_function.7.num_batches_tracked"));
    EXPECT_TRUE(is_at(theirs.size() - 1, "fc.bias"));
    Model model({.arch = "resnet50", .classes = 100, .stem = "cifar"});
    model.load_state(theirs);
    EXPECT_EQ(model.spec().naming, "l2ul-cifar100");
    const StateDict ours = source.state(), loaded = model.state();
    for (std::size_t i = 0; i < ours.size(); ++i) EXPECT_TRUE(identical(loaded[i].second, ours[i].second));
}

// Names as transformers' modeling_resnet.py builds them.
TEST(Model, HuggingFacesResNetIsOurs) {
    const Model source({.arch = "resnet50"}, 1);
    const StateDict theirs = state_under(source, "huggingface");
    const auto is_at = [&](std::size_t i, const char* name) { return theirs[i].first == name; };
    EXPECT_TRUE(is_at(0, "resnet.embedder.embedder.convolution.weight")) << theirs[0].first;
    EXPECT_TRUE(is_at(4, "resnet.embedder.embedder.normalization.running_var")) << theirs[4].first;
    EXPECT_TRUE(is_at(6, "resnet.encoder.stages.0.layers.0.layer.0.convolution.weight")) << theirs[6].first;
    EXPECT_TRUE(is_at(19, "resnet.encoder.stages.0.layers.0.layer.2.normalization.weight")) << theirs[19].first;
    EXPECT_TRUE(is_at(24, "resnet.encoder.stages.0.layers.0.shortcut.convolution.weight")) << theirs[24].first;
    EXPECT_TRUE(is_at(25, "resnet.encoder.stages.0.layers.0.shortcut.normalization.weight")) << theirs[25].first;
    EXPECT_TRUE(is_at(theirs.size() - 2, "classifier.1.weight"));
    Model model({.arch = "resnet50"});
    model.load_state(theirs);
    EXPECT_EQ(model.spec().naming, "huggingface");
    const StateDict ours = source.state(), loaded = model.state();
    for (std::size_t i = 0; i < ours.size(); ++i) EXPECT_TRUE(identical(loaded[i].second, ours[i].second));
}

TEST(Model, TorchvisionsOldDenseNetNamesLoad) {
    const Model source({.arch = "densenet121"}, 1);
    const StateDict old = state_under(source, "torchvision-2017");
    EXPECT_EQ(entry(old, "features.denseblock2.denselayer3.conv.2.weight").shape(), (Shape{32, 128, 3, 3}));
    EXPECT_EQ(entry(old, "features.transition1.norm.weight").shape(), (Shape{256}));
    Model model({.arch = "densenet121"});
    model.load_state(old);
    EXPECT_TRUE(identical(model.state()[7].second, source.state()[7].second));
}

TEST(Model, BatchStatisticsUpdateBuffersOnlyWhenAsked) {
    Model model({.arch = "resnet8"});
    const auto mean = [&] { return model.state()[3].second.clone(); };
    ASSERT_EQ(model.state()[3].first, "bn1.running_mean");
    const Tensor images = random_tensor({4, 3, 32, 32}, 7), start = mean();
    model.forward(images, BatchNormMode::running);
    model.forward(images, BatchNormMode::batch_no_update);
    EXPECT_TRUE(identical(mean(), start));
    model.forward(images, BatchNormMode::batch);
    EXPECT_FALSE(identical(mean(), start));
    EXPECT_EQ(model.state()[5].second.int64_values()[0], 1);
}

TEST(Model, NormalisationIsTheFirstLayer) {
    ModelSpec plain{.arch = "resnet8"}, normalised{.arch = "resnet8"};
    set_normalization(normalised, ".5,.25,0/2,4,.5");
    Model a(plain, 1), b(normalised, 1);
    const Tensor images = random_tensor({1, 3, 32, 32}, 8);
    Tensor by_hand = images.clone();
    const float mean[] = {0.5f, 0.25f, 0}, std[] = {2, 4, 0.5f};
    float* pixel = by_hand.mutable_data();
    for (int64_t i = 0; i < by_hand.numel(); ++i) pixel[i] = (pixel[i] - mean[i % 3]) / std[i % 3];
    const NoGrad inference;
    EXPECT_TRUE(close(b.forward(images, BatchNormMode::running).value(),
                      a.forward(by_hand, BatchNormMode::running).value(), network, 576));
    EXPECT_THAT(error_of([&] { set_normalization(plain, "1,2,3"); }), HasSubstr("1,2,3"));
    EXPECT_THAT(error_of([&] { set_normalization(plain, "1,2,3/1,0,1"); }), HasSubstr("> 0"));
}

void expect_same_predictions(const ModelSpec& spec, int64_t count) {
    Model model(spec, 2);
    unsettle(model);
    const auto twin = fold_batchnorm(model);
    const Tensor images = random_tensor({count, 3, 32, 32}, 9);
    set_threads(1);
    const Tensor whole = predict(*twin, images);
    set_threads(3);
    EXPECT_TRUE(identical(predict(*twin, images), whole)) << spec.arch;
    EXPECT_TRUE(identical(predict(*twin, images.rows(count - 3, count)), whole.rows(count - 3, count))) << spec.arch;
    set_threads(0);
}

TEST(Model, PredictionsDoNotDependOnThreadsOrBatch) {
    expect_same_predictions({.arch = "resnet20"}, 37);
    expect_same_predictions({.arch = "densenet121", .classes = 10}, 5);
}

TEST(Model, SlowPredictionsOfATransformerDoNotEither) {
    expect_same_predictions({.arch = "vit_b_16", .classes = 10, .image_size = 32}, 5);
}

}  // namespace
}  // namespace lethe::test
