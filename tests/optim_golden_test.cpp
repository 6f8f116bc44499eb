// The optimizers against PyTorch: each formula alone, then steps of a whole network.
#include <gtest/gtest.h>

#include <string>

#include "autograd/ops.h"
#include "nn/schedule.h"
#include "tests/support/golden.h"

namespace lethe::test {
namespace {

struct FormulaCase {
    const char* name;
    OptimizerSpec spec;
};

class OptimizerFormula : public testing::TestWithParam<FormulaCase> {};

TEST_P(OptimizerFormula, FiveStepsAlongGivenGradients) {
    const Golden golden("training");
    Var theta(golden["formula.start"].clone(), true);
    Optimizer optimizer({{"theta", theta}}, GetParam().spec);
    const Tensor& grads = golden["formula.grads"];  // [step, 5, 7]
    for (int64_t step = 0; step < grads.dim(0); ++step) {
        theta.zero_grad();
        Var::accumulate(theta, grads.rows(step, step + 1).reshape(theta.shape()).clone());
        optimizer.step();
    }
    EXPECT_TRUE(close(theta.value(), golden[concat("formula.", GetParam().name)], elementwise, 25));
}

INSTANTIATE_TEST_SUITE_P(
    Cases, OptimizerFormula,
    testing::Values(FormulaCase{"plain", {.name = "sgd", .lr = 0.1f, .momentum = 0.0f, .weight_decay = 0.1f}},
                    FormulaCase{"momentum", {.name = "sgd", .lr = 0.1f, .momentum = 0.9f, .weight_decay = 0.1f}},
                    FormulaCase{"nesterov",
                                {.name = "sgd", .lr = 0.1f, .momentum = 0.9f, .nesterov = true, .weight_decay = 0.1f}},
                    FormulaCase{"adam", {.name = "adam", .lr = 0.1f, .weight_decay = 0.1f}}),
    [](const auto& test) { return std::string(test.param.name); });

class RecipeFormula : public testing::TestWithParam<FormulaCase> {};

TEST_P(RecipeFormula, FiveStepsAlongGivenGradients) {
    const Golden golden("recipes");
    const std::string name = GetParam().name;
    Var theta(golden["formula.start"].clone(), true);
    Optimizer optimizer({{"theta", theta}}, GetParam().spec);
    const Tensor& grads = golden["formula.grads"];  // [step, 5, 7]
    const Schedule schedule({.name = name.starts_with("onecycle") ? "onecycle" : "constant"}, GetParam().spec, 1,
                            grads.dim(0));
    for (int64_t step = 0; step < grads.dim(0); ++step) {
        theta.zero_grad();
        Var::accumulate(theta, grads.rows(step, step + 1).reshape(theta.shape()).clone());
        optimizer.set_lr(static_cast<float>(schedule.at(step).lr));
        optimizer.set_momentum(static_cast<float>(schedule.at(step).momentum));
        optimizer.step();
        if (name != "clip_norm") continue;
        const float norm = golden["formula.norms"].values()[static_cast<std::size_t>(step)];
        EXPECT_TRUE(
            close(std::vector{static_cast<float>(optimizer.gradient_norm())}, std::vector{norm}, reduction, 35));
    }
    EXPECT_TRUE(close(theta.value(), golden["formula." + name], elementwise, 25));
}

const OptimizerSpec decayed_sgd{.name = "sgd", .lr = 0.1f, .momentum = 0.9f, .weight_decay = 0.1f};
OptimizerSpec with_clip(OptimizerSpec spec, float value, float norm) {
    spec.clip_value = value;
    spec.clip_norm = norm;
    return spec;
}

INSTANTIATE_TEST_SUITE_P(
    Cases, RecipeFormula,
    testing::Values(FormulaCase{"adamw", {.name = "adamw", .lr = 0.1f, .weight_decay = 0.1f}},
                    FormulaCase{"clip_value", with_clip(decayed_sgd, 0.5f, 0)},
                    FormulaCase{"clip_norm", with_clip(decayed_sgd, 0, 2.0f)},
                    FormulaCase{"adam_clip_norm", with_clip({.name = "adam", .lr = 0.1f}, 0, 2.0f)},
                    FormulaCase{"onecycle_sgd", decayed_sgd},
                    FormulaCase{"onecycle_adam", {.name = "adam", .lr = 0.1f, .weight_decay = 0.1f}}),
    [](const auto& test) { return std::string(test.param.name); });

struct ScheduleCase {
    const char* name;
    const char* optimizer;
    ScheduleSpec spec;
    int64_t epochs, steps_per_epoch;
};

class ScheduleGolden : public testing::TestWithParam<ScheduleCase> {};

TEST_P(ScheduleGolden, LearningRateAndMomentumOfEachStep) {
    const ScheduleCase& test = GetParam();
    const Golden golden("recipes");
    const Tensor& rows = golden[concat("schedule.", test.name)];  // [n, 2]: a row per step, or per epoch
    const Schedule schedule(test.spec, {.name = test.optimizer, .lr = 0.2f}, test.epochs, test.steps_per_epoch);
    for (int64_t step = 0; step < test.epochs * test.steps_per_epoch; ++step) {
        const int64_t row = test.spec.name == "onecycle" ? step : step / test.steps_per_epoch;
        const Rate rate = schedule.at(step);
        const std::vector<float> actual{static_cast<float>(rate.lr), static_cast<float>(rate.momentum)};
        EXPECT_TRUE(close(actual, rows.values().subspan(static_cast<std::size_t>(2 * row), 2), elementwise)) << step;
    }
}

INSTANTIATE_TEST_SUITE_P(Cases, ScheduleGolden,
                         testing::Values(ScheduleCase{"onecycle", "sgd", {.name = "onecycle"}, 23, 1},
                                         ScheduleCase{"onecycle_adam", "adam", {.name = "onecycle"}, 3, 8},
                                         ScheduleCase{"onecycle_other",
                                                      "sgd",
                                                      {.name = "onecycle",
                                                       .pct_start = 0.4,
                                                       .div = 10,
                                                       .final_div = 100,
                                                       .base_momentum = 0.7,
                                                       .max_momentum = 0.99},
                                                      4,
                                                      5},
                                         ScheduleCase{"cosine_epoch", "sgd", {.name = "cosine-epoch"}, 6, 3},
                                         ScheduleCase{
                                             "cosine_epoch_longer", "sgd", {.name = "cosine-epoch", .t_max = 8}, 6, 3}),
                         [](const auto& test) { return std::string(test.param.name); });

TEST(LabelSmoothing, LossAndGradient) {
    const Golden golden("recipes");
    for (const auto& [name, smoothing] : {std::pair{"few", 0.1f}, std::pair{"many", 0.3f}}) {
        const std::string prefix = concat("smoothing.", name, ".");
        Var logits(golden[prefix + "logits"].clone(), true);
        Var losses = softmax_cross_entropy(logits, golden[prefix + "labels"], {.label_smoothing = smoothing});
        EXPECT_TRUE(close(losses.value(), golden[prefix + "losses"], reduction)) << name;
        losses.backward(Tensor::from_nchw({5}, std::vector<float>{1, 2, 3, 4, 5}));
        EXPECT_TRUE(close(logits.grad(), golden[prefix + "grad"], reduction)) << name;
    }
}

// How far the weights may be from PyTorch's, as a share of how far they moved. PyTorch in float32 is this far from
// PyTorch in float64: `deep` for convolutions, where the sign of relu inputs near 0 decides, `last` for the last layer.
struct NetworkCase {
    const char* name;
    OptimizerSpec spec;
    double deep, last;
};

class NetworkTraining : public testing::TestWithParam<NetworkCase> {};

TEST_P(NetworkTraining, LossesAndWeights) {
    const Golden training("training"), inputs("resnet20");
    const auto model = golden_resnet20();
    const StateDict before = copy_of(model->state());
    Optimizer optimizer(model->net().parameters(), GetParam().spec);
    const std::string name = GetParam().name;
    const Tensor& losses = training[name + ".losses"];
    for (int64_t step = 0; step < losses.dim(0); ++step) {
        model->net().zero_grad();
        Var loss = mean(softmax_cross_entropy(model->forward(inputs["input.images"], BatchNormMode::batch),
                                              inputs["input.labels"]));
        EXPECT_TRUE(close(loss.value(), losses.rows(step, step + 1), trajectory)) << "step " << step;
        loss.backward();
        optimizer.step();
    }
    for (const auto& [tensor, expected] : training.below(name + ".")) {
        if (tensor == "losses") continue;
        const double share = tensor.starts_with("linear") ? GetParam().last : GetParam().deep;
        EXPECT_TRUE(moved_alike(entry(model->state(), tensor), expected, entry(before, tensor), share)) << tensor;
    }
}

const OptimizerSpec sgd{.name = "sgd", .lr = 0.05f, .momentum = 0.9f, .weight_decay = 1e-4f};
const OptimizerSpec nesterov{.name = "sgd", .lr = 0.05f, .momentum = 0.9f, .nesterov = true, .weight_decay = 1e-4f};
const OptimizerSpec adam{.name = "adam", .lr = 1e-3f, .weight_decay = 1e-4f};

// AdamW that spares biases, normalisations and every conv1, label smoothing, the norm clipped, one cycle.
TEST(NetworkRecipe, LossesAndWeights) {
    const Golden golden("recipes"), inputs("resnet20");
    const auto model = golden_resnet20();
    const StateDict before = copy_of(model->state());
    const OptimizerSpec spec{.name = "adamw",
                             .lr = 2e-3f,
                             .weight_decay = 0.5f,
                             .decay_all = false,
                             .no_decay = "conv1.weight",
                             .clip_norm = 0.5f};
    Optimizer optimizer(model->net().parameters(), spec);
    const Tensor& losses = golden["network.losses"];
    const Schedule schedule({.name = "onecycle"}, spec, 1, losses.dim(0));
    for (int64_t step = 0; step < losses.dim(0); ++step) {
        model->net().zero_grad();
        Var loss = mean(softmax_cross_entropy(model->forward(inputs["input.images"], BatchNormMode::batch),
                                              inputs["input.labels"], {.label_smoothing = 0.1f}));
        EXPECT_TRUE(close(loss.value(), losses.rows(step, step + 1), trajectory)) << "step " << step;
        loss.backward();
        optimizer.set_lr(static_cast<float>(schedule.at(step).lr));
        optimizer.set_momentum(static_cast<float>(schedule.at(step).momentum));
        optimizer.step();
    }
    for (const auto& [tensor, expected] : golden.below("network.")) {
        if (tensor == "losses") continue;
        const double share = tensor.starts_with("linear") ? 2e-3 : 0.05;
        EXPECT_TRUE(moved_alike(entry(model->state(), tensor), expected, entry(before, tensor), share)) << tensor;
    }
}

INSTANTIATE_TEST_SUITE_P(Cases, NetworkTraining,
                         testing::Values(NetworkCase{"sgd", sgd, 0.05, 2e-3},
                                         NetworkCase{"nesterov", nesterov, 0.02, 5e-4},
                                         NetworkCase{"adam", adam, 0.05, 2e-3}),
                         [](const auto& test) { return std::string(test.param.name); });

}  // namespace
}  // namespace lethe::test
