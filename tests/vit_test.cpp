// Vision transformers against torchvision's: operations, a narrow model with all its gradients, ViT-B/16's logits.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "nn/layers.h"
#include "nn/models/models.h"
#include "tests/support/golden.h"

namespace lethe::test {
namespace {

using testing::HasSubstr;

const Golden& golden() {
    static const Golden file("vit");
    return file;
}

constexpr ViTConfig narrow{.patch = 8, .layers = 2, .heads = 4, .hidden = 32, .mlp = 64};
const ModelSpec narrow_spec{.arch = "vit_b_16", .classes = 10, .stem = "imagenet", .image_size = 32};

void set(const StateDict& state, Module& net) {
    StateDict own = net.state();
    ASSERT_EQ(own.size(), state.size());
    for (auto& [name, tensor] : own) tensor.copy_from(entry(state, name));
}

// ViT-B/16 with weights that differ everywhere.
std::unique_ptr<Model> small_images_model(const std::string& naming = "") {
    return std::make_unique<Model>(ModelSpec{.arch = "vit_b_16", .classes = 3, .image_size = 32, .naming = naming}, 5);
}

TEST(VitGolden, LayerNorm) {
    for (const auto& [name, eps] : {std::pair("torchvision", 1e-6f), {"huggingface", 1e-12f}}) {
        const auto at = [name = std::string(name)](const char* what) {
            return golden()["layer_norm." + name + "." + what];
        };
        Var x(at("x"), true), gamma(at("gamma"), true), beta(at("beta"), true);
        Var y = layer_norm(x, gamma, beta, eps);
        EXPECT_TRUE(close_to_scale(y.value(), at("y"), reduction, 33));
        y.backward(at("grad_y"));
        EXPECT_TRUE(close_to_scale(x.grad(), at("grad_x"), reduction, 33));
        EXPECT_TRUE(close_to_scale(gamma.grad(), at("grad_gamma"), reduction, 12));
        EXPECT_TRUE(close_to_scale(beta.grad(), at("grad_beta"), reduction, 12));
    }
}

TEST(VitGolden, Attention) {
    for (const std::string name : {"attention.3_heads.", "attention.1_heads."}) {
        Var qkv(golden()[name + "qkv"], true);
        Var y = attention(qkv, golden()[name + "heads"].int64_data()[0]);
        EXPECT_TRUE(close_to_scale(y.value(), golden()[name + "y"], reduction, 16));
        y.backward(golden()[name + "grad_y"]);
        EXPECT_TRUE(close_to_scale(qkv.grad(), golden()[name + "grad_qkv"], reduction, 16));
    }
}

TEST(VitGolden, ANarrowModelsLogitsAndEveryGradient) {
    const std::unique_ptr<Module> net = build_vit(narrow_spec, std::nullopt, narrow);
    set(golden().below("narrow.state."), *net);
    Var images(golden()["narrow.images"], true);
    Var logits = net->forward(images, BatchNormMode::running);
    EXPECT_TRUE(close_to_scale(logits.value(), golden()["narrow.logits"], network, 192));
    logits.backward(golden()["narrow.grad_logits"]);
    EXPECT_TRUE(close_to_scale(images.grad(), golden()["narrow.grad_images"], network, 192));
    for (const Module::Parameter& parameter : net->parameters())
        EXPECT_TRUE(close_to_scale(parameter.var.grad(), golden()["narrow.grad." + parameter.name], network, 192))
            << parameter.name;
}

TEST(VitGolden, SlowViTB16) {
    Model model({.arch = "vit_b_16", .classes = 1000}, std::nullopt);
    EXPECT_EQ(model.state().size(), 152u);
    fill_hashed(model.state());
    std::vector<float> pixels = hashed("images", 2 * 3 * 224 * 224);
    for (float& pixel : pixels) pixel += 0.5f;
    const Tensor logits = predict(model, Tensor::from_nchw({2, 3, 224, 224}, pixels));
    EXPECT_TRUE(close_to_scale(logits, golden()["vit_b_16.logits"], network, 3072));
}

TEST(VitGolden, SlowHuggingFacesModel) {
    const auto source = std::make_unique<Model>(ModelSpec{.arch = "vit_b_16", .classes = 7, .image_size = 32});
    const StateDict theirs = state_under(*source, "huggingface");
    fill_hashed(theirs);
    Model model({.arch = "vit_b_16", .classes = 7, .image_size = 32}, std::nullopt);
    model.load_state(theirs);
    std::vector<float> pixels = hashed("images", 2 * 3 * 32 * 32);
    for (float& pixel : pixels) pixel += 0.5f;
    const Tensor logits = predict(model, Tensor::from_nchw({2, 3, 32, 32}, pixels));
    EXPECT_TRUE(close_to_scale(logits, golden()["huggingface.logits"], network, 3072));
}

TEST(Vit, NamesAreTorchvisions) {
    const StateDict state = build_vit(narrow_spec, std::nullopt, narrow)->state(),
                    theirs = golden().below("narrow.state.");
    ASSERT_EQ(state.size(), theirs.size());
    for (std::size_t i = 0; i < state.size(); ++i) {
        EXPECT_EQ(state[i].first, theirs[i].first);
        EXPECT_EQ(state[i].second.shape(), theirs[i].second.shape()) << state[i].first;
    }
}

// Names as transformers' ViTForImageClassification has them.
TEST(Vit, SlowHuggingFacesNamesAreAnotherNaming) {
    const auto source = small_images_model();
    const StateDict theirs = state_under(*source, "huggingface"), ours = source->state();
    EXPECT_EQ(theirs.size(), 200u);  // 152, and query, key and value apart: 4 more in each of 12 layers
    EXPECT_TRUE(identical(entry(theirs, "vit.embeddings.cls_token"), entry(ours, "class_token")));
    const std::string layer = "vit.encoder.layer.11.", own = "encoder.layers.encoder_layer_11.";
    EXPECT_TRUE(identical(entry(theirs, layer + "attention.attention.key.weight"),
                          entry(ours, own + "self_attention.in_proj_weight").rows(768, 1536)));
    EXPECT_TRUE(identical(entry(theirs, layer + "attention.attention.value.bias"),
                          entry(ours, own + "self_attention.in_proj_bias").rows(1536, 2304)));
    for (const auto& [name, our_name] : {std::pair("attention.output.dense.bias", "self_attention.out_proj.bias"),
                                         {"intermediate.dense.weight", "mlp.0.weight"},
                                         {"output.dense.weight", "mlp.3.weight"},
                                         {"layernorm_before.weight", "ln_1.weight"},
                                         {"layernorm_after.bias", "ln_2.bias"}})
        EXPECT_TRUE(identical(entry(theirs, layer + name), entry(ours, own + our_name))) << name;
    for (const char* name : {"vit.embeddings.position_embeddings", "vit.embeddings.patch_embeddings.projection.bias",
                             "vit.layernorm.weight", "classifier.weight"})
        entry(theirs, name);

    const auto model = small_images_model();
    model->load_state(theirs);
    EXPECT_EQ(model->spec().naming, "huggingface");
    const StateDict loaded = model->state();
    for (std::size_t i = 0; i < ours.size(); ++i) EXPECT_TRUE(identical(loaded[i].second, ours[i].second));

    StateDict incomplete = theirs;
    std::erase_if(incomplete, [&](const auto& item) { return item.first == layer + "attention.attention.key.weight"; });
    EXPECT_THAT(error_of([&] { model->load_state(incomplete); }),
                HasSubstr("no key for 'encoder.layers.encoder_layer_11.self_attention.in_proj_weight'"));
    StateDict misshapen = theirs;
    for (auto& [name, tensor] : misshapen)
        if (name == layer + "attention.attention.key.bias") tensor = Tensor::zeros({5});
    EXPECT_THAT(error_of([&] { model->load_state(misshapen); }), HasSubstr("these are [768] and key [5]"));
}

// Its layer norms have an eps of their own, which tokens of small variance show.
TEST(Vit, SlowANamingBringsItsEps) {
    const auto ours = small_images_model(), theirs = small_images_model("huggingface");
    const auto eps = [](Model& model) {
        float found = 0;
        model.net().for_each([&](Module& module) {
            if (const auto* norm = dynamic_cast<LayerNorm*>(&module)) found = norm->eps;
        });
        return found;
    };
    EXPECT_EQ(eps(*ours), 1e-6f);
    EXPECT_EQ(eps(*theirs), 1e-12f);
    EXPECT_EQ(eps(*theirs->clone()), 1e-12f);
    ours->load_state(state_under(*theirs, "huggingface"));
    EXPECT_EQ(eps(*ours), 1e-12f);
}

TEST(Vit, SlowTorchvisionsPublishedNamesLoad) {
    const auto source = small_images_model();
    const StateDict old = state_under(*source, "torchvision-2022");
    EXPECT_TRUE(identical(entry(old, "encoder.layers.encoder_layer_3.mlp.linear_2.bias"),
                          entry(source->state(), "encoder.layers.encoder_layer_3.mlp.3.bias")));
    const auto model = small_images_model();
    model->load_state(old);
    EXPECT_EQ(model->spec().naming, "torchvision-2022");
}

TEST(Vit, WrongImageSizesAreNamed) {
    EXPECT_THAT(error_of([] { Model({.arch = "vit_b_16", .image_size = 40}, std::nullopt); }),
                HasSubstr("the image size must be a multiple of the patch size, 16, got 40"));
    const std::unique_ptr<Module> net = build_vit(narrow_spec, std::nullopt, narrow);
    EXPECT_THAT(error_of([&] {
                    net->forward(random_tensor({1, 3, 64, 64}, 1), BatchNormMode::running);
                }),
                HasSubstr("position embeddings for 32x32 pixels, but the images have 64x64"));
}

// Sample by sample by hand: what PerSampleMagnitudes gives in one pass.
TEST(Vit, PerSampleMagnitudesAreThoseOfEachSampleAlone) {
    const std::unique_ptr<Module> net = build_vit(narrow_spec, std::nullopt, narrow);
    set(golden().below("narrow.state."), *net);
    const Tensor images = golden()["narrow.images"], seed = golden()["narrow.grad_logits"];
    std::vector<Tensor> expected;
    for (const Module::Parameter& parameter : net->parameters())
        expected.push_back(Tensor::zeros(parameter.var.shape()));
    for (int64_t n = 0; n < images.dim(0); ++n) {
        net->zero_grad();
        net->forward(images.rows(n, n + 1), BatchNormMode::running).backward(seed.rows(n, n + 1));
        const auto parameters = net->parameters();
        for (std::size_t i = 0; i < parameters.size(); ++i)
            backend(Device::cpu).abs_accumulate(1.0f, parameters[i].var.grad(), expected[i]);
    }
    net->zero_grad();
    const PerSampleMagnitudes magnitudes;
    net->forward(images, BatchNormMode::running).backward(seed);
    const auto parameters = net->parameters();
    for (std::size_t i = 0; i < parameters.size(); ++i)
        EXPECT_TRUE(close_to_scale(parameters[i].var.grad(), expected[i], network, 64)) << parameters[i].name;
}

}  // namespace
}  // namespace lethe::test
