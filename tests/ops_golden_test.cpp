// Every operation of the backend against PyTorch: results and gradients.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "autograd/ops.h"
#include "tensor/backend.h"
#include "tests/support/golden.h"

namespace lethe::test {
namespace {

const Golden& golden() {
    static const Golden file("ops");
    return file;
}

class Conv2dGolden : public testing::TestWithParam<const char*> {
protected:
    const Tensor& at(const std::string& name) const {
        return golden()["conv2d." + std::string(GetParam()) + "." + name];
    }
    Conv2d op() const { return {.stride = at("op").int64_data()[0], .pad = at("op").int64_data()[1]}; }
    Backend& cpu = backend(Device::cpu);
};

TEST_P(Conv2dGolden, Forward) {
    const Shape& w = at("w").shape();
    const auto k = static_cast<double>(w[1] * w[2] * w[3]);
    EXPECT_TRUE(close_to_scale(cpu.conv2d(at("x"), at("w"), op()), at("y"), reduction, k));
}

TEST_P(Conv2dGolden, GradX) {
    const Shape& w = at("w").shape();
    const auto k = static_cast<double>(w[0] * w[2] * w[3]);
    const Tensor grad = cpu.conv2d_grad_x(at("grad_y"), at("w"), at("x").shape(), op());
    EXPECT_TRUE(close_to_scale(grad, at("grad_x"), reduction, k));
}

TEST_P(Conv2dGolden, GradW) {
    const Shape& y = at("y").shape();
    const auto k = static_cast<double>(y[0] * y[2] * y[3]);
    const Tensor grad = cpu.conv2d_grad_w(at("grad_y"), at("x"), at("w").shape(), op());
    EXPECT_TRUE(close_to_scale(grad, at("grad_w"), reduction, k));
}

INSTANTIATE_TEST_SUITE_P(Cases, Conv2dGolden,
                         testing::Values("s1_c3", "s1_c16", "s1_c32", "s1_c5", "s2_c16", "s2_c5", "1x1_s2_c16",
                                         "1x1_s1_c32", "7x7_s2_c3"));

class BatchNormGolden : public testing::TestWithParam<const char*> {
protected:
    const Tensor& at(const std::string& name) const {
        return golden()["batchnorm." + std::string(GetParam()) + "." + name];
    }
    bool flag(int index) const { return at("op").int64_data()[index] != 0; }
};

TEST_P(BatchNormGolden, ForwardBuffersAndGradients) {
    Backend& cpu = backend(Device::cpu);
    const bool fused = flag(1);
    const BatchNorm op{.batch_statistics = flag(0), .relu = fused};
    const Tensor residual = fused ? at("residual") : Tensor();
    const auto k = static_cast<double>(at("x").numel() / at("x").dim(1));
    Tensor mean = at("running_mean").clone(), var = at("running_var").clone();
    BatchNormSaved saved;
    const Tensor y = cpu.batchnorm(at("x"), at("gamma"), at("beta"), mean, var, residual, op, saved);
    EXPECT_TRUE(close_to_scale(y, at("y"), reduction, k));
    EXPECT_TRUE(close(mean, at("running_mean_after"), reduction, k));
    EXPECT_TRUE(close(var, at("running_var_after"), reduction, k));

    const BatchNormGrads grads =
        cpu.batchnorm_grad(at("grad_y"), y, at("x"), at("gamma"), saved, op, true, true, fused);
    EXPECT_TRUE(close_to_scale(grads.grad_x, at("grad_x"), reduction, k));
    EXPECT_TRUE(close_to_scale(grads.grad_gamma, at("grad_gamma"), reduction, k));
    EXPECT_TRUE(close_to_scale(grads.grad_beta, at("grad_beta"), reduction, k));
    EXPECT_EQ(grads.grad_residual.defined(), fused);
    if (fused) {
        EXPECT_TRUE(close(grads.grad_residual, at("grad_residual"), elementwise));
    }
}

TEST_P(BatchNormGolden, WithoutUpdateTheBuffersStay) {
    Backend& cpu = backend(Device::cpu);
    const BatchNorm op{.batch_statistics = flag(0), .update_running = false, .relu = false};
    Tensor mean = at("running_mean").clone(), var = at("running_var").clone();
    BatchNormSaved saved;
    cpu.batchnorm(at("x"), at("gamma"), at("beta"), mean, var, Tensor(), op, saved);
    EXPECT_TRUE(identical(mean, at("running_mean")));
    EXPECT_TRUE(identical(var, at("running_var")));
}

INSTANTIATE_TEST_SUITE_P(Cases, BatchNormGolden, testing::Values("batch", "batch_fused", "running", "running_fused"));

// Forward and gradients of an autograd operation of x, and of w and b where it has them.
template <class Op>
void expect_golden(const std::string& name, Tolerance tolerance, double k, Op&& op, bool affine = false) {
    SCOPED_TRACE(name);
    const auto at = [&](const std::string& part) { return golden()[name + "." + part]; };
    Var x(at("x").clone(), true);
    Var w = affine ? Var(at("w").clone(), true) : Var(), b = affine ? Var(at("b").clone(), true) : Var();
    Var y = op(x, w, b);
    EXPECT_TRUE(close_to_scale(y.value(), at("y"), tolerance, k));
    y.backward(at("grad_y"));
    EXPECT_TRUE(close_to_scale(x.grad(), at("grad_x"), tolerance, k));
    if (affine) {
        EXPECT_TRUE(close_to_scale(w.grad(), at("grad_w"), tolerance, k));
        EXPECT_TRUE(close_to_scale(b.grad(), at("grad_b"), tolerance, k));
    }
}

TEST(OpsGolden, MaxPool2d) {
    const Pool2d op{.kernel = 3, .stride = 2, .pad = 1};
    for (const char* name : {"max_pool2d.odd", "max_pool2d.ties"}) {
        expect_golden(name, elementwise, 4, [&](const Var& x, const Var&, const Var&) { return max_pool2d(x, op); });
    }
}

TEST(OpsGolden, GlobalAvgPool) {
    expect_golden("global_avg_pool", reduction, 28,
                  [](const Var& x, const Var&, const Var&) { return global_avg_pool(x); });
}

TEST(OpsGolden, Linear) {
    expect_golden(
        "linear", reduction, 12, [](const Var& x, const Var& w, const Var& b) { return linear(x, w, b); }, true);
}

TEST(OpsGolden, ShortcutA) {
    expect_golden("shortcut_a", exact, 1, [](const Var& x, const Var&, const Var&) { return shortcut_a(x, 16, 2); });
}

TEST(OpsGolden, RowNorm) {
    expect_golden("row_norm", reduction, 11, [](const Var& x, const Var&, const Var&) { return row_norm(x); });
    expect_golden("row_norm_images", reduction, 60, [](const Var& x, const Var&, const Var&) { return row_norm(x); });
}

TEST(OpsGolden, Normalize) {
    const std::vector<float> mean_values{0.485f, 0.456f, 0.406f}, std_values{0.229f, 0.224f, 0.225f};
    const Tensor mean = Tensor::from_nchw({3}, mean_values), std = Tensor::from_nchw({3}, std_values);
    expect_golden("normalize", elementwise, 1,
                  [&](const Var& x, const Var&, const Var&) { return normalize(x, mean, std); });
}

// One row is so large that exp() of a logit alone would overflow.
TEST(OpsGolden, SoftmaxCrossEntropy) {
    const Tensor& labels = golden()["softmax_cross_entropy.labels"];
    expect_golden("softmax_cross_entropy", reduction, 10,
                  [&](const Var& x, const Var&, const Var&) { return softmax_cross_entropy(x, labels); });
}

struct PgdCase {
    const char* name;
    PgdStep op;
};

class PgdStepGolden : public testing::TestWithParam<PgdCase> {};

// A step long enough to leave both the ball and the box; one image has a zero gradient.
TEST_P(PgdStepGolden, OneStep) {
    Tensor x_adv = golden()["pgd_step.x_adv"].clone();
    backend(Device::cpu).pgd_step(x_adv, golden()["pgd_step.x"], golden()["pgd_step.grad"], GetParam().op);
    EXPECT_TRUE(close(x_adv, golden()[concat("pgd_step.", GetParam().name)], reduction, 60));
}

INSTANTIATE_TEST_SUITE_P(
    Cases, PgdStepGolden,
    testing::Values(PgdCase{"l2_box_ball", {.eps = 2.0f, .step = 3.0f}},
                    PgdCase{"l2_ball_box", {.order = PgdStep::Order::ball_then_box, .eps = 2.0f, .step = 3.0f}},
                    PgdCase{"linf_box_ball", {.norm = PgdStep::Norm::linf, .eps = 0.25f, .step = 0.5f}}),
    [](const auto& test) { return std::string(test.param.name); });

}  // namespace
}  // namespace lethe::test
