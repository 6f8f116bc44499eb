// The optimizers against PyTorch: each formula alone, then steps of a whole network.
#include <gtest/gtest.h>

#include <string>

#include "autograd/ops.h"
#include "nn/optim.h"
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

INSTANTIATE_TEST_SUITE_P(Cases, NetworkTraining,
                         testing::Values(NetworkCase{"sgd", sgd, 0.05, 2e-3},
                                         NetworkCase{"nesterov", nesterov, 0.02, 5e-4},
                                         NetworkCase{"adam", adam, 0.05, 2e-3}),
                         [](const auto& test) { return std::string(test.param.name); });

}  // namespace
}  // namespace lethe::test
