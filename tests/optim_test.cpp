// Optimizers by hand; tests/optim_golden_test.cpp compares them with PyTorch.
#include "nn/optim.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/support/compare.h"

namespace lethe::test {
namespace {

using testing::HasSubstr;

Var leaf(const std::vector<float>& values) {
    return Var(Tensor::from_nchw({static_cast<int64_t>(values.size())}, values), true);
}

void give_gradient(Var& parameter, const std::vector<float>& values) {
    parameter.zero_grad();
    Var::accumulate(parameter, Tensor::from_nchw(parameter.shape(), values));
}

TEST(Optimizer, SgdWithMomentumByHand) {
    Var theta = leaf({1, -2});
    Optimizer optimizer({{"theta", theta}}, {.name = "sgd", .lr = 0.5f, .momentum = 0.5f, .weight_decay = 0.25f});
    give_gradient(theta, {1, 1});
    optimizer.step();  // g = (1.25, 0.5) = v
    EXPECT_TRUE(close(theta.value().values(), std::vector<float>{0.375f, -2.25f}, exact));
    give_gradient(theta, {0, 0});
    optimizer.step();  // g = (0.09375, -0.5625), v = (0.71875, -0.3125)
    EXPECT_TRUE(close(theta.value().values(), std::vector<float>{0.015625f, -2.09375f}, exact));
}

TEST(Optimizer, ParametersWithoutGradientStay) {
    Var moved = leaf({1}), still = leaf({1});
    Optimizer optimizer({{"moved", moved}, {"still", still}}, {.lr = 1.0f, .weight_decay = 0.5f});
    give_gradient(moved, {1});
    optimizer.step();
    EXPECT_EQ(still.value().item(), 1.0f);
    EXPECT_EQ(moved.value().item(), -0.5f);
}

TEST(Optimizer, DecayAllOffSparesParametersOfOneDimension) {
    Var weight(Tensor::full({1, 2}, 1.0f), true), bias = leaf({1, 1});
    Optimizer optimizer({{"weight", weight}, {"bias", bias}},
                        {.lr = 1.0f, .momentum = 0.0f, .weight_decay = 0.5f, .decay_all = false});
    give_gradient(weight, {0, 0});
    give_gradient(bias, {0, 0});
    optimizer.step();
    EXPECT_TRUE(close(weight.value().values(), std::vector<float>{0.5f, 0.5f}, exact));
    EXPECT_TRUE(close(bias.value().values(), std::vector<float>{1, 1}, exact));
}

// theta0 = (1, 2), moved by hand to (3, 1): penalty (0.5 * 4 + 1 * 1) / 2 = 1.5, its gradient lambda * (0.5 * 2, -1).
TEST(Optimizer, PenaltyValueAndGradientByHand) {
    Var theta = leaf({1, 2}), other = leaf({5});
    Optimizer optimizer({{"theta", theta}, {"other", other}}, {.lr = 1.0f, .momentum = 0.0f});
    optimizer.set_penalty({{"theta", Tensor::from_nchw({2}, std::vector<float>{0.5f, 1.0f})}}, 0.25f);
    EXPECT_EQ(optimizer.penalty(), 0.0);
    theta.value().copy_from(Tensor::from_nchw({2}, std::vector<float>{3, 1}));
    other.value().fill(9);
    EXPECT_DOUBLE_EQ(optimizer.penalty(), 1.5);
    give_gradient(theta, {0, 0});
    give_gradient(other, {0});
    optimizer.step();
    EXPECT_TRUE(close(theta.value().values(), std::vector<float>{2.75f, 1.25f}, exact));
    EXPECT_EQ(other.value().item(), 9.0f);
}

TEST(Optimizer, NoDecaySparesParametersByTheirNames) {
    Var weight = leaf({1}), position = leaf({1}), token = leaf({1});
    Optimizer optimizer({{"layer.weight", weight}, {"pos_embedding", position}, {"class_token", token}},
                        {.lr = 1.0f, .momentum = 0.0f, .weight_decay = 0.5f, .no_decay = "class_token,pos_"});
    for (Var* parameter : {&weight, &position, &token}) give_gradient(*parameter, {0});
    optimizer.step();
    EXPECT_EQ(weight.value().item(), 0.5f);
    EXPECT_EQ(position.value().item(), 1.0f);
    EXPECT_EQ(token.value().item(), 1.0f);
}

TEST(Optimizer, PenaltyMustFitTheParameters) {
    Var theta = leaf({1, 2});
    Optimizer optimizer({{"theta", theta}}, {});
    EXPECT_THAT(error_of([&] { optimizer.set_penalty({{"phi", Tensor::zeros({2})}}, 1); }), HasSubstr("'phi'"));
    EXPECT_THAT(error_of([&] { optimizer.set_penalty({{"theta", Tensor::zeros({3})}}, 1); }), HasSubstr("[3]"));
    EXPECT_THAT(error_of([&] { optimizer.set_penalty({}, -1); }), HasSubstr("lambda"));
}

class OptimizerState : public testing::TestWithParam<OptimizerSpec> {};

void walk(Var& theta, Optimizer& optimizer, int from, int to) {
    for (int i = from; i < to; ++i) {
        give_gradient(theta, {std::sin(static_cast<float>(i)), 0.3f, -1.0f / static_cast<float>(i + 1)});
        optimizer.step();
    }
}

TEST_P(OptimizerState, ContinuesBitIdentically) {
    Var whole = leaf({1, 2, 3});
    Optimizer uninterrupted({{"theta", whole}}, GetParam());
    walk(whole, uninterrupted, 0, 5);

    Var first = leaf({1, 2, 3});
    Optimizer before({{"theta", first}}, GetParam());
    walk(first, before, 0, 2);
    const StateDict state = before.state();
    const Tensor reached = first.value().clone();
    walk(first, before, 2, 3);  // a state is a copy: later steps must not change it

    Var second(reached, true);
    Optimizer after({{"theta", second}}, GetParam());
    after.load_state(state);
    walk(second, after, 2, 5);
    EXPECT_TRUE(identical(second.value(), whole.value()));
}

TEST_P(OptimizerState, RefusesAnotherOne) {
    Var theta = leaf({1, 2, 3}), longer = leaf({1, 2, 3, 4});
    const StateDict state = Optimizer({{"theta", theta}}, GetParam()).state();
    Optimizer same({{"theta", theta}}, GetParam());
    EXPECT_THAT(error_of([&] { same.load_state({}); }), HasSubstr("'step'"));
    StateDict more = state;
    more.emplace_back("phi.momentum", Tensor::zeros({1}));
    EXPECT_THAT(error_of([&] { same.load_state(more); }), HasSubstr("'phi.momentum'"));
    if (state.size() == 1) return;  // plain SGD keeps nothing but the count
    EXPECT_THAT(error_of([&] { Optimizer({{"phi", theta}}, GetParam()).load_state(state); }), HasSubstr("'phi."));
    EXPECT_THAT(error_of([&] { Optimizer({{"theta", longer}}, GetParam()).load_state(state); }), HasSubstr("[4]"));
}

INSTANTIATE_TEST_SUITE_P(All, OptimizerState,
                         testing::Values(OptimizerSpec{.name = "sgd", .lr = 0.1f, .momentum = 0.0f},
                                         OptimizerSpec{.name = "sgd", .lr = 0.1f, .momentum = 0.9f, .nesterov = true},
                                         OptimizerSpec{.name = "adam", .lr = 0.1f, .weight_decay = 0.1f},
                                         OptimizerSpec{.name = "adamw", .lr = 0.1f, .clip_norm = 1.0f}));

TEST(Optimizer, RefusesBadOptions) {
    const auto error = [](const OptimizerSpec& spec) { return error_of([&] { Optimizer({}, spec); }); };
    EXPECT_THAT(error({.name = "sdg"}), HasSubstr("sgd, adam and adamw"));
    EXPECT_THAT(error({.lr = -1}), HasSubstr("lr is -1"));
    EXPECT_THAT(error({.lr = std::numeric_limits<float>::quiet_NaN()}), HasSubstr("lr"));
    EXPECT_THAT(error({.momentum = 1}), HasSubstr("momentum"));
    EXPECT_THAT(error({.momentum = 0, .nesterov = true}), HasSubstr("nesterov"));
    EXPECT_THAT(error({.weight_decay = -0.1f}), HasSubstr("weight_decay"));
    EXPECT_THAT(error({.beta1 = 1}), HasSubstr("beta1"));
    EXPECT_THAT(error({.beta2 = -1}), HasSubstr("beta2"));
    EXPECT_THAT(error({.eps = 0}), HasSubstr("eps"));
    EXPECT_THAT(error({.clip_value = -1}), HasSubstr("clip_value"));
    EXPECT_THAT(error({.clip_norm = -1}), HasSubstr("clip_norm"));
    EXPECT_THAT(error({.clip_value = 1, .clip_norm = 1}), HasSubstr("exclude"));
    EXPECT_THAT(error({.no_decay = "bias"}), HasSubstr("'bias'"));
}

}  // namespace
}  // namespace lethe::test
