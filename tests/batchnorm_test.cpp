#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/support/cpu.h"
#include "tests/support/reference.h"

namespace lethe::test {
namespace {

using reference::Array;

const std::vector<Shape> shapes = {{2, 16, 9, 9},  {1, 3, 5, 7},     {4, 64, 3, 3}, {2, 1, 1, 1},
                                   {3, 5, 1, 1},   {7, 48, 2, 3},    {2, 17, 4, 1}, {5, 32, 8, 8},
                                   {1, 100, 3, 3}, {40, 16, 16, 16}, {2, 128, 6, 6}};

struct Problem {
    explicit Problem(const Shape& shape)
        : x(random_tensor(shape, 1, 3.0f)),
          residual(random_tensor(shape, 2)),
          grad_y(random_tensor(shape, 3)),
          gamma(random_tensor({shape[1]}, 4)),
          beta(random_tensor({shape[1]}, 5)),
          mean(random_tensor({shape[1]}, 6)),
          var(Tensor::full({shape[1]}, 1.7f)) {
        float* values = x.mutable_data();
        for (int64_t i = 0; i < x.numel(); ++i) values[i] += 2.0f;  // a mean worth subtracting
    }

    reference::BatchNormState state() const {
        return {Array(mean.shape()), Array(mean.shape()), Array(mean), Array(var)};
    }

    Tensor x, residual, grad_y, gamma, beta, mean, var;
};

// All settings of a layer: statistics of the batch or constants, relu, residual.
struct Setting {
    bool batch, relu, residual;
};
std::vector<Setting> settings() {
    std::vector<Setting> all;
    for (int bits = 0; bits < 8; ++bits) all.push_back({(bits & 1) != 0, (bits & 2) != 0, (bits & 4) != 0});
    return all;
}

std::string describe(const Shape& shape, const Setting& s) {
    return concat(shape, s.batch ? " batch statistics" : " constants", s.relu ? ", relu" : "",
                  s.residual ? ", residual" : "");
}

template <class Visit>
void for_each_problem(Visit&& visit) {
    for (const Shape& shape : shapes)
        for (const Setting& setting : settings()) {
            SCOPED_TRACE(describe(shape, setting));
            BatchNorm op;
            op.batch_statistics = setting.batch;
            op.relu = setting.relu;
            visit(Problem(shape), setting, op);
        }
}

class BatchNormTest : public IsaTest {};

TEST_P(BatchNormTest, ForwardAgreesWithTheOracle) {
    for_each_problem([&](const Problem& p, const Setting& setting, const BatchNorm& op) {
        const Tensor residual = setting.residual ? p.residual : Tensor();
        const auto results = same_for_any_threads([&] {
            Tensor mean = p.mean.clone(), var = p.var.clone();
            BatchNormSaved saved;
            const Tensor y = cpu->batchnorm(p.x, p.gamma, p.beta, mean, var, residual, op, saved);
            return std::vector{y, mean, var, saved.mean, saved.inv_std};
        });
        auto state = p.state();
        const Array added(p.residual);
        const Array y = reference::batchnorm(Array(p.x), Array(p.gamma), Array(p.beta),
                                             setting.residual ? &added : nullptr, op, state);
        const auto k = static_cast<double>(p.x.numel() / p.x.dim(1));
        EXPECT_TRUE(close(results[0].to_nchw(), y, reduction, k));
        EXPECT_TRUE(close(results[1].to_nchw(), state.running_mean, reduction, k));
        EXPECT_TRUE(close(results[2].to_nchw(), state.running_var, reduction, k));
        EXPECT_TRUE(close(results[3].to_nchw(), state.mean, reduction, k));
        EXPECT_TRUE(close(results[4].to_nchw(), state.inv_std, reduction, k));
    });
}

TEST_P(BatchNormTest, GradientsAgreeWithTheOracle) {
    for_each_problem([&](const Problem& p, const Setting& setting, const BatchNorm& op) {
        if (p.x.numel() / p.x.dim(1) < 4) return;  // inv_std of two or three values has no digits to compare
        Tensor mean = p.mean.clone(), var = p.var.clone();
        BatchNormSaved saved;
        const Tensor residual = setting.residual ? p.residual : Tensor();
        const Tensor y = cpu->batchnorm(p.x, p.gamma, p.beta, mean, var, residual, op, saved);
        const auto results = same_for_any_threads([&] {
            auto grads = cpu->batchnorm_grad(p.grad_y, y, p.x, p.gamma, saved, op, true, true, true);
            return std::vector{grads.grad_x, grads.grad_gamma, grads.grad_beta, grads.grad_residual};
        });
        auto state = p.state();
        const Array added(p.residual);
        reference::batchnorm(Array(p.x), Array(p.gamma), Array(p.beta), setting.residual ? &added : nullptr, op, state);
        const auto expected =
            reference::batchnorm_grad(Array(p.grad_y), Array(y), Array(p.x), Array(p.gamma), state, op);
        const auto k = static_cast<double>(p.x.numel() / p.x.dim(1));
        EXPECT_TRUE(close(results[0].to_nchw(), expected.x, reduction, k));
        EXPECT_TRUE(close(results[1].to_nchw(), expected.gamma, reduction, k * k));  // cancels: a sum near zero of k
        EXPECT_TRUE(close(results[2].to_nchw(), expected.beta, reduction, k * k));
        EXPECT_TRUE(close(results[3].to_nchw(), expected.residual, exact));
    });
}

TEST_P(BatchNormTest, GivesOnlyTheGradientsAskedFor) {
    const Problem p({3, 16, 4, 4});
    Tensor mean = p.mean.clone(), var = p.var.clone();
    for (const bool batch : {false, true}) {
        BatchNorm op;
        op.batch_statistics = batch;
        op.relu = true;
        BatchNormSaved saved;
        const Tensor y = cpu->batchnorm(p.x, p.gamma, p.beta, mean, var, Tensor(), op, saved);
        const auto all = cpu->batchnorm_grad(p.grad_y, y, p.x, p.gamma, saved, op, true, true, true);
        for (int bits = 0; bits < 8; ++bits) {
            const bool x = (bits & 1) != 0, affine = (bits & 2) != 0, residual = (bits & 4) != 0;
            const auto some = cpu->batchnorm_grad(p.grad_y, y, p.x, p.gamma, saved, op, x, affine, residual);
            ASSERT_EQ(some.grad_x.defined(), x);
            ASSERT_EQ(some.grad_gamma.defined(), affine);
            ASSERT_EQ(some.grad_beta.defined(), affine);
            ASSERT_EQ(some.grad_residual.defined(), residual);
            EXPECT_TRUE(!x || identical(some.grad_x, all.grad_x));
            EXPECT_TRUE(!affine || identical(some.grad_gamma, all.grad_gamma));
            EXPECT_TRUE(!affine || identical(some.grad_beta, all.grad_beta));
            EXPECT_TRUE(!residual || identical(some.grad_residual, all.grad_residual));
        }
    }
}

// The textbook one-pass formula E[x^2] - E[x]^2 has no correct digit here: mean 1000, standard deviation 0.01.
TEST_P(BatchNormTest, SmallVarianceAroundALargeMean) {
    Tensor x = random_tensor({8, 16, 16, 16}, 9, 0.01f);
    float* values = x.mutable_data();
    for (int64_t i = 0; i < x.numel(); ++i) values[i] += 1000.0f;
    Tensor mean = Tensor::zeros({16}), var = Tensor::full({16}, 1.0f);
    BatchNorm op;
    op.batch_statistics = true;
    op.eps = 1e-12f;
    auto state = reference::BatchNormState{Array(mean), Array(mean), Array(mean), Array(var)};
    BatchNormSaved saved;
    cpu->batchnorm(x, Tensor::full({16}, 1.0f), Tensor::zeros({16}), mean, var, Tensor(), op, saved);
    reference::batchnorm(Array(x), Array(Tensor::full({16}, 1.0f)), Array(Tensor::zeros({16})), nullptr, op, state);
    EXPECT_TRUE(close(saved.inv_std.to_nchw(), state.inv_std, reduction));
    EXPECT_TRUE(close(saved.mean.to_nchw(), state.mean, elementwise));
}

TEST_P(BatchNormTest, RunningStatisticsStayWhenToldTo) {
    const Problem p({3, 16, 4, 4});
    Tensor mean = p.mean.clone(), var = p.var.clone();
    BatchNorm op;
    op.batch_statistics = true;
    op.update_running = false;
    BatchNormSaved saved;
    const uint64_t version = mean.version();
    cpu->batchnorm(p.x, p.gamma, p.beta, mean, var, Tensor(), op, saved);
    EXPECT_TRUE(identical(mean, p.mean));
    EXPECT_TRUE(identical(var, p.var));
    EXPECT_EQ(mean.version(), version);
}

TEST_P(BatchNormTest, NanPassesThroughRelu) {
    Problem p({1, 16, 4, 4});
    p.x.mutable_data()[0] = std::numeric_limits<float>::quiet_NaN();
    BatchNorm op;
    op.relu = true;
    BatchNormSaved saved;
    const Tensor y = cpu->batchnorm(p.x, p.gamma, p.beta, p.mean, p.var, Tensor(), op, saved);
    EXPECT_TRUE(std::isnan(y.values()[0]));
    EXPECT_FALSE(std::isnan(y.values()[1]));
}

TEST_P(BatchNormTest, WarmCallsTakeNoMemory) {
    Problem p({40, 16, 16, 16});
    BatchNorm op;
    op.batch_statistics = true;
    expect_steady([&] {
        BatchNormSaved saved;
        const Tensor y = cpu->batchnorm(p.x, p.gamma, p.beta, p.mean, p.var, p.residual, op, saved);
        cpu->batchnorm_grad(p.grad_y, y, p.x, p.gamma, saved, op, true, true, true);
    });
}

INSTANTIATE_TEST_SUITE_P(Isa, BatchNormTest, all_isas(), isa_name);

}  // namespace
}  // namespace lethe::test
