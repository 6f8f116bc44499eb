#include <cmath>
#include <limits>

#include "tests/support/devices.h"
#include "tests/support/reference.h"

namespace lethe::test {
namespace {

using reference::Array;

// Channels in packs of 8, of 4 and of neither; one and several chunks of pixels and groups of channels.
const std::vector<Shape> shapes = {{2, 16, 9, 9}, {1, 3, 5, 7},    {2, 1, 1, 1},   {3, 5, 1, 1},   {2, 33, 9, 9},
                                   {7, 12, 2, 3}, {3, 16, 16, 16}, {2, 128, 6, 6}, {1, 260, 3, 3}, {3, 1, 30, 30}};

struct Problem {
    Tensor x, residual, grad_y, gamma, beta, mean, var;

    reference::BatchNormState state() const {
        return {Array(mean.shape()), Array(mean.shape()), Array(mean), Array(var)};
    }
};

// All settings of a layer: statistics of the batch or constants, relu, residual.
struct Setting {
    bool batch, relu, residual;

    BatchNorm op() const {
        BatchNorm op;
        op.batch_statistics = batch;
        op.relu = relu;
        return op;
    }
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

double pixels(const Shape& x) { return static_cast<double>(x.numel() / x[1]); }

class DeviceBatchNormTest : public DeviceTest {
protected:
    Problem problem(const Shape& shape) {
        Tensor x = random_tensor(shape, 1, 3.0f), var = random_tensor({shape[1]}, 7);
        float *values = x.mutable_data(), *vars = var.mutable_data();
        for (int64_t i = 0; i < x.numel(); ++i) values[i] += 2.0f;  // a mean worth subtracting
        for (int64_t c = 0; c < shape[1]; ++c) vars[c] = 0.5f + std::abs(vars[c]);
        return {on(x),
                random(shape, 2),
                random(shape, 3),
                random({shape[1]}, 4),
                random({shape[1]}, 5),
                random({shape[1]}, 6),
                on(var)};
    }

    Tensor forward(const Problem& p, const Setting& setting, BatchNormSaved& saved) {
        Tensor mean = p.mean.clone(), var = p.var.clone();
        const Tensor residual = setting.residual ? p.residual : Tensor();
        return device().batchnorm(p.x, p.gamma, p.beta, mean, var, residual, setting.op(), saved);
    }
};

Array oracle(const Problem& p, const Array& x, const Array& residual, const Setting& setting,
             reference::BatchNormState& state) {
    return reference::batchnorm(x, Array(p.gamma), Array(p.beta), setting.residual ? &residual : nullptr, setting.op(),
                                state);
}

TEST_P(DeviceBatchNormTest, ForwardAgreesWithTheOracle) {
    for (const Shape& shape : shapes)
        for (const Setting& setting : settings()) {
            SCOPED_TRACE(describe(shape, setting));
            const Problem p = problem(shape);
            Tensor mean = p.mean.clone(), var = p.var.clone();
            BatchNormSaved saved;
            const Tensor y = device().batchnorm(p.x, p.gamma, p.beta, mean, var,
                                                setting.residual ? p.residual : Tensor(), setting.op(), saved);
            auto state = p.state();
            const Array expected = oracle(p, Array(p.x), Array(p.residual), setting, state);
            EXPECT_TRUE(close(y.to_nchw(), expected, reduction, pixels(shape)));
            EXPECT_TRUE(close(mean.to_nchw(), state.running_mean, reduction, pixels(shape)));
            EXPECT_TRUE(close(var.to_nchw(), state.running_var, reduction, pixels(shape)));
            EXPECT_TRUE(close(saved.mean.to_nchw(), state.mean, reduction, pixels(shape)));
            EXPECT_TRUE(close(saved.inv_std.to_nchw(), state.inv_std, reduction, pixels(shape)));
        }
}

TEST_P(DeviceBatchNormTest, GradientsAgreeWithTheOracle) {
    for (const Shape& shape : shapes)
        for (const Setting& setting : settings()) {
            if (pixels(shape) < 4) continue;  // inv_std of two or three values has no digits to compare
            SCOPED_TRACE(describe(shape, setting));
            const Problem p = problem(shape);
            BatchNormSaved saved;
            const Tensor y = forward(p, setting, saved);
            const auto grads =
                device().batchnorm_grad(p.grad_y, y, p.x, p.gamma, saved, setting.op(), true, true, true);
            auto state = p.state();
            oracle(p, Array(p.x), Array(p.residual), setting, state);
            const auto expected =
                reference::batchnorm_grad(Array(p.grad_y), Array(y), Array(p.x), Array(p.gamma), state, setting.op());
            const double k = pixels(shape);
            EXPECT_TRUE(close(grads.grad_x.to_nchw(), expected.x, reduction, k));
            EXPECT_TRUE(close(grads.grad_gamma.to_nchw(), expected.gamma, reduction, k * k));  // a sum near zero of k
            EXPECT_TRUE(close(grads.grad_beta.to_nchw(), expected.beta, reduction, k * k));
            EXPECT_TRUE(close(grads.grad_residual.to_nchw(), expected.residual, exact));
        }
}

TEST_P(DeviceBatchNormTest, WhatIsNotWantedIsNotThereAndTheRestIsTheSame) {
    const Problem p = problem({3, 33, 7, 5});
    for (const Setting& setting : settings()) {
        BatchNormSaved saved;
        const Tensor y = forward(p, setting, saved);
        const auto gradients = [&](bool x, bool affine, bool residual) {
            return device().batchnorm_grad(p.grad_y, y, p.x, p.gamma, saved, setting.op(), x, affine, residual);
        };
        const auto all = gradients(true, true, true);
        for (int bits = 0; bits < 8; ++bits) {
            const bool x = (bits & 1) != 0, affine = (bits & 2) != 0, residual = (bits & 4) != 0;
            const auto some = gradients(x, affine, residual);
            ASSERT_EQ(some.grad_x.defined(), x);
            ASSERT_EQ(some.grad_gamma.defined(), affine);
            ASSERT_EQ(some.grad_beta.defined(), affine);
            ASSERT_EQ(some.grad_residual.defined(), residual);
            EXPECT_TRUE(!x || identical(some.grad_x.cpu(), all.grad_x.cpu()));
            EXPECT_TRUE(!affine || identical(some.grad_gamma.cpu(), all.grad_gamma.cpu()));
            EXPECT_TRUE(!affine || identical(some.grad_beta.cpu(), all.grad_beta.cpu()));
            EXPECT_TRUE(!residual || identical(some.grad_residual.cpu(), all.grad_residual.cpu()));
        }
    }
}

// More pixels than the most chunks of the usual size hold.
TEST_P(DeviceBatchNormTest, ManyPixels) {
    const Shape shape{2, 33, 100, 90};
    const Setting setting{true, true, false};
    const Problem p = problem(shape);
    BatchNormSaved saved;
    const Tensor y = forward(p, setting, saved);
    const auto grads = device().batchnorm_grad(p.grad_y, y, p.x, p.gamma, saved, setting.op(), true, true, false);
    auto state = p.state();
    EXPECT_TRUE(close(y.to_nchw(), oracle(p, Array(p.x), Array(p.residual), setting, state), reduction, pixels(shape)));
    EXPECT_TRUE(close(saved.mean.to_nchw(), state.mean, reduction));
    EXPECT_TRUE(close(saved.inv_std.to_nchw(), state.inv_std, reduction));
    const auto expected =
        reference::batchnorm_grad(Array(p.grad_y), Array(y), Array(p.x), Array(p.gamma), state, setting.op());
    EXPECT_TRUE(close(grads.grad_x.to_nchw(), expected.x, reduction, pixels(shape)));
    EXPECT_TRUE(close(grads.grad_gamma.to_nchw(), expected.gamma, reduction, pixels(shape)));
    EXPECT_TRUE(close(grads.grad_beta.to_nchw(), expected.beta, reduction, pixels(shape)));
}

// The textbook one-pass formula E[x^2] - E[x]^2 has no correct digit here: mean 1000, standard deviation 0.01.
TEST_P(DeviceBatchNormTest, SmallVarianceAroundALargeMean) {
    for (const Shape& shape : {Shape{8, 16, 16, 16}, Shape{2, 33, 17, 19}, Shape{2, 1, 13, 11}}) {
        Problem p = problem(shape);
        Tensor x = random_tensor(shape, 9, 0.01f);
        float* values = x.mutable_data();
        for (int64_t i = 0; i < x.numel(); ++i) values[i] += 1000.0f;
        p.x = on(x);
        BatchNorm op;
        op.batch_statistics = true;
        op.eps = 1e-12f;
        auto state = p.state();
        BatchNormSaved saved;
        device().batchnorm(p.x, p.gamma, p.beta, p.mean, p.var, Tensor(), op, saved);
        reference::batchnorm(Array(x), Array(p.gamma), Array(p.beta), nullptr, op, state);
        EXPECT_TRUE(close(saved.inv_std.to_nchw(), state.inv_std, reduction)) << shape;
        EXPECT_TRUE(close(saved.mean.to_nchw(), state.mean, elementwise)) << shape;
    }
}

TEST_P(DeviceBatchNormTest, ConstantChannelsHaveNoVariance) {
    Problem p = problem({3, 16, 7, 11});
    Tensor x = Tensor::empty(p.x.shape());
    for (int64_t i = 0; i < x.numel(); ++i) x.mutable_data()[i] = 1000.1f + 0.37f * static_cast<float>(i % 16);
    p.x = on(x);
    BatchNorm op;
    op.batch_statistics = true;
    op.eps = 1e-12f;
    BatchNormSaved saved;
    device().batchnorm(p.x, p.gamma, p.beta, p.mean, p.var, Tensor(), op, saved);
    EXPECT_TRUE(close(saved.inv_std.cpu(), Tensor::full({16}, 1e6f), elementwise));
}

// A first pixel far from all others is the worst origin that sums of distances from it can have.
TEST_P(DeviceBatchNormTest, AnOutlierAtTheStart) {
    Problem p = problem({4, 16, 16, 16});
    Tensor x = p.x.to(Device::cpu).clone();
    for (int64_t c = 0; c < 16; ++c) x.mutable_data()[c] = 1e4f;
    p.x = on(x);
    BatchNormSaved saved;
    forward(p, {true, false, false}, saved);
    auto state = p.state();
    oracle(p, Array(x), Array(p.residual), {true, false, false}, state);
    EXPECT_TRUE(close(saved.mean.to_nchw(), state.mean, reduction));
    EXPECT_TRUE(close(saved.inv_std.to_nchw(), state.inv_std, reduction));
}

TEST_P(DeviceBatchNormTest, RunningStatisticsStayWhenToldTo) {
    const Problem p = problem({3, 16, 4, 4});
    Tensor mean = p.mean.clone(), var = p.var.clone();
    BatchNorm op;
    op.batch_statistics = true;
    op.update_running = false;
    BatchNormSaved saved;
    const uint64_t version = mean.version();
    device().batchnorm(p.x, p.gamma, p.beta, mean, var, Tensor(), op, saved);
    EXPECT_TRUE(identical(mean.cpu(), p.mean.cpu()));
    EXPECT_TRUE(identical(var.cpu(), p.var.cpu()));
    EXPECT_EQ(mean.version(), version);
}

TEST_P(DeviceBatchNormTest, NanPassesThroughReluAndItsOwnChannelOnly) {
    for (const bool batch : {false, true}) {
        Problem p = problem({2, 16, 4, 4});
        Tensor x = p.x.to(Device::cpu).clone();
        x.mutable_data()[0] = std::numeric_limits<float>::quiet_NaN();
        p.x = on(x);
        BatchNormSaved saved;
        const Tensor y = forward(p, {batch, true, false}, saved).cpu();
        EXPECT_TRUE(std::isnan(y.values()[0]));
        EXPECT_EQ(std::isnan(y.values()[16]), batch);  // the same channel's next pixel
        EXPECT_FALSE(std::isnan(y.values()[1]));
    }
}

TEST_P(DeviceBatchNormTest, AnEmptyBatchHasZeroGradients) {
    const Problem p = problem({0, 16, 4, 4});
    BatchNormSaved saved;
    const Setting setting{false, true, true};
    const Tensor y = forward(p, setting, saved);
    EXPECT_EQ(y.numel(), 0);
    const auto grads = device().batchnorm_grad(p.grad_y, y, p.x, p.gamma, saved, setting.op(), true, true, true);
    EXPECT_EQ(grads.grad_x.numel(), 0);
    EXPECT_TRUE(identical(grads.grad_gamma.cpu(), Tensor::zeros({16})));
    EXPECT_TRUE(identical(grads.grad_beta.cpu(), Tensor::zeros({16})));
}

TEST_P(DeviceBatchNormTest, AbsoluteGradientsAreSummedOverSamples) {
    for (const Shape& shape : {Shape{5, 16, 9, 9}, Shape{1, 3, 5, 7}, Shape{4, 33, 4, 4}, Shape{40, 8, 1, 1}})
        for (const bool relu : {false, true}) {
            const Problem p = problem(shape);
            const Setting setting{false, relu, true};
            BatchNormSaved saved;
            const Tensor y = forward(p, setting, saved);
            const auto grads = device().batchnorm_grad_abs(p.grad_y, y, p.x, saved, setting.op());
            auto state = p.state();
            oracle(p, Array(p.x), Array(p.residual), setting, state);
            Array gamma({shape[1]}), beta({shape[1]});
            for (int64_t n = 0; n < shape[0]; ++n) {
                const auto sample =
                    reference::batchnorm_grad(Array(p.grad_y.rows(n, n + 1)), Array(y.rows(n, n + 1)),
                                              Array(p.x.rows(n, n + 1)), Array(p.gamma), state, setting.op());
                for (int64_t c = 0; c < shape[1]; ++c) {
                    gamma.at(c) += std::abs(sample.gamma.at(c));
                    beta.at(c) += std::abs(sample.beta.at(c));
                }
            }
            EXPECT_TRUE(close(grads.grad_gamma.to_nchw(), gamma, reduction, pixels(shape))) << shape;
            EXPECT_TRUE(close(grads.grad_beta.to_nchw(), beta, reduction, pixels(shape))) << shape;
        }
}

TEST_P(DeviceBatchNormTest, FoldingScalesFiltersAndMovesTheBias) {
    for (const Shape& shape : {Shape{16, 3, 3, 3}, Shape{5, 1, 1, 1}, Shape{33, 16, 3, 3}}) {
        const Tensor w = random(shape, 1);
        const Problem p = problem({1, shape[0], 1, 1});
        Tensor w_folded = random(shape, 2), b_folded = random({shape[0]}, 3);
        device().fold_batchnorm(w, p.gamma, p.beta, p.mean, p.var, 1e-5f, w_folded, b_folded);
        Array ws(w), bs(p.beta);
        const Array gamma(p.gamma), mean(p.mean), var(p.var);
        for (int64_t k = 0; k < shape[0]; ++k) {
            const double factor = gamma.at(k) / std::sqrt(var.at(k) + static_cast<double>(1e-5f));
            bs.at(k) -= mean.at(k) * factor;
            for (int64_t c = 0; c < shape[1]; ++c)
                for (int64_t r = 0; r < shape[2]; ++r)
                    for (int64_t s = 0; s < shape[3]; ++s) ws.at(k, c, r, s) *= factor;
        }
        EXPECT_TRUE(close(w_folded.to_nchw(), ws, elementwise)) << shape;
        EXPECT_TRUE(close(b_folded.to_nchw(), bs, elementwise)) << shape;
    }
}

TEST_P(DeviceBatchNormTest, TheSameBitsEveryTime) {
    const Problem p = problem({3, 33, 17, 19});
    const Setting setting{true, true, true};
    const auto run = [&] {
        BatchNormSaved saved;
        const Tensor y = forward(p, setting, saved);
        const auto grads = device().batchnorm_grad(p.grad_y, y, p.x, p.gamma, saved, setting.op(), true, true, true);
        return std::vector{y.cpu(), saved.mean.cpu(), saved.inv_std.cpu(), grads.grad_x.cpu(), grads.grad_gamma.cpu()};
    };
    const auto first = run(), second = run();
    for (std::size_t i = 0; i < first.size(); ++i) EXPECT_TRUE(identical(first[i], second[i])) << "result " << i;
}

INSTANTIATE_TEST_SUITE_P(Device, DeviceBatchNormTest, all_devices(), device_name);

class DeviceBatchNormBf16Test : public DeviceBatchNormTest {
protected:
    Tensor half(const Tensor& x) { return device().cast(x, DType::bfloat16); }
    Tensor full(const Tensor& x) { return device().cast(x, DType::float32).cpu(); }
};

// The same formulas on the rounded inputs; what is stored in bfloat16 has been rounded once, by up to 2^-8 of itself.
TEST_P(DeviceBatchNormBf16Test, AgreesWithTheOracleButForTheResultsRounding) {
    const Tolerance rounded{0x1p-8 / static_cast<double>(std::numeric_limits<float>::epsilon()), reduction.atol};
    for (const Shape& shape : shapes)
        for (const Setting& setting : settings()) {
            if (pixels(shape) < 4) continue;
            SCOPED_TRACE(describe(shape, setting));
            Problem p = problem(shape);
            p.x = half(p.x);
            p.residual = half(p.residual);
            p.grad_y = half(p.grad_y);
            BatchNormSaved saved;
            const Tensor y = forward(p, setting, saved);
            const auto grads =
                device().batchnorm_grad(p.grad_y, y, p.x, p.gamma, saved, setting.op(), true, true, true);
            ASSERT_EQ(y.dtype(), DType::bfloat16);
            ASSERT_EQ(grads.grad_x.dtype(), DType::bfloat16);
            auto state = p.state();
            const Array x(full(p.x));
            EXPECT_TRUE(close(full(y).to_nchw(), oracle(p, x, Array(full(p.residual)), setting, state), rounded));
            const double k = pixels(shape);
            EXPECT_TRUE(close(saved.mean.to_nchw(), state.mean, reduction, k));
            EXPECT_TRUE(close(saved.inv_std.to_nchw(), state.inv_std, reduction, k));
            const auto expected = reference::batchnorm_grad(Array(full(p.grad_y)), Array(full(y)), x, Array(p.gamma),
                                                            state, setting.op());
            EXPECT_TRUE(close(full(grads.grad_x).to_nchw(), expected.x, rounded));
            EXPECT_TRUE(close(grads.grad_gamma.to_nchw(), expected.gamma, reduction, k * k));
            EXPECT_TRUE(close(grads.grad_beta.to_nchw(), expected.beta, reduction, k * k));
            EXPECT_TRUE(close(full(grads.grad_residual).to_nchw(), expected.residual, exact));
        }
}

INSTANTIATE_TEST_SUITE_P(Device, DeviceBatchNormBf16Test, gpu_devices(), device_name);

}  // namespace
}  // namespace lethe::test
