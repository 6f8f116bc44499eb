#include <cmath>
#include <limits>

#include "tests/support/devices.h"
#include "tests/support/reference.h"

namespace lethe::test {
namespace {

using reference::Array;

// Values in [0, 1], as images.
Tensor random_images(const Shape& shape, uint64_t seed) {
    Tensor images = random_tensor(shape, seed, 0.5f);
    float* values = images.mutable_data();
    for (int64_t i = 0; i < images.numel(); ++i) values[i] = std::min(1.0f, std::abs(values[i]));
    return images;
}

// The last is longer than what a block keeps in shared memory.
const std::vector<Shape> shapes = {{2, 3, 32, 32}, {1, 1, 1, 1}, {5, 3, 5, 5},  {2, 1, 7, 9},
                                   {4, 33},        {0, 3, 4, 4}, {2, 3, 53, 53}};

std::vector<PgdStep> settings() {
    std::vector<PgdStep> all;
    for (const auto norm : {PgdStep::Norm::l2, PgdStep::Norm::linf})
        for (const auto order : {PgdStep::Order::box_then_ball, PgdStep::Order::ball_then_box})
            for (const float eps : {0.03f, 0.5f, 4.0f}) {
                PgdStep op;
                op.norm = norm;
                op.order = order;
                op.eps = eps;
                op.step = eps / 3.0f;
                all.push_back(op);
            }
    return all;
}

std::string describe(const Shape& shape, const PgdStep& op) {
    return concat(shape, op.norm == PgdStep::Norm::l2 ? " l2" : " linf", ", eps ", op.eps,
                  op.order == PgdStep::Order::box_then_ball ? ", box first" : ", ball first");
}

// The box holds exactly, the ball but for the rounding of x + d.
void expect_inside(const Tensor& x_adv, const Tensor& x, const PgdStep& op) {
    const Tensor host = x_adv.cpu();
    for (const float value : host.values()) {
        ASSERT_GE(value, op.low);
        ASSERT_LE(value, op.high);
    }
    const Array a(x_adv), b(x);
    const auto eps = static_cast<double>(op.eps);
    if (op.norm == PgdStep::Norm::l2) {
        for (int64_t n = 0; n < x.dim(0); ++n) EXPECT_LE(reference::row_distance(a, b, n), eps * (1 + 1e-6) + 1e-6);
    } else {
        for (std::size_t i = 0; i < a.values.size(); ++i) ASSERT_LE(std::abs(a.values[i] - b.values[i]), eps + 1e-7);
    }
}

class DevicePgdStepTest : public DeviceTest {
protected:
    Tensor images(const Shape& shape, uint64_t seed) { return on(random_images(shape, seed)); }
};

TEST_P(DevicePgdStepTest, StepAgreesWithTheOracleAndKeepsItsConstraints) {
    for (const Shape& shape : shapes)
        for (const PgdStep& op : settings()) {
            SCOPED_TRACE(describe(shape, op));
            const Tensor x = images(shape, 1), start = images(shape, 2), grad = random(shape, 3);
            Tensor x_adv = start.clone(), projected = start.clone();
            device().pgd_step(x_adv, x, grad, op);
            device().pgd_project(projected, x, op);
            if (shape.numel() == 0) continue;
            const Array xs(x), starts(start), grads(grad);
            EXPECT_TRUE(close(x_adv.to_nchw(), reference::pgd_step(starts, xs, &grads, op), elementwise));
            EXPECT_TRUE(close(projected.to_nchw(), reference::pgd_step(starts, xs, nullptr, op), elementwise));
            expect_inside(x_adv, x, op);
            expect_inside(projected, x, op);
        }
}

TEST_P(DevicePgdStepTest, ManyStepsKeepTheConstraints) {
    for (const PgdStep& op : settings()) {
        const Tensor x = images({2, 3, 5, 5}, 1);
        Tensor x_adv = images(x.shape(), 2);
        device().pgd_project(x_adv, x, op);
        for (uint64_t step = 0; step < 20; ++step) {
            device().pgd_step(x_adv, x, random(x.shape(), 10 + step), op);
            expect_inside(x_adv, x, op);
        }
    }
}

TEST_P(DevicePgdStepTest, AStepInsideBothSetsHasItsLength) {
    PgdStep op;
    op.step = 0.1f;
    const Tensor x = on(Tensor::full({2, 3, 16, 16}, 0.5f)), grad = random(x.shape(), 3, 1000.0f);
    Tensor x_adv = x.clone();
    device().pgd_step(x_adv, x, grad, op);
    for (int64_t n = 0; n < 2; ++n) EXPECT_NEAR(reference::row_distance(Array(x_adv), Array(x), n), 0.1, 1e-6);
}

// A box that does not hold 0: the elements that fill up a thread's last four must not count.
TEST_P(DevicePgdStepTest, BoxesAwayFromZero) {
    PgdStep op;
    op.low = 2.0f;
    op.high = 3.0f;
    op.eps = 0.2f;
    const Tensor x = on(Tensor::full({2, 5}, 2.5f));
    Tensor x_adv = on(Tensor::full({2, 5}, 2.55f));  // |d| = 0.112: inside the ball
    const Tensor before = x_adv.clone();
    device().pgd_project(x_adv, x, op);
    EXPECT_TRUE(close(x_adv.to_nchw(), before.to_nchw(), elementwise));
}

TEST_P(DevicePgdStepTest, GradientsBelowTheFloorMoveLess) {
    PgdStep op;
    op.step = 0.1f;
    const Tensor x = on(Tensor::full({1, 1, 1, 2}, 0.5f));
    Tensor x_adv = x.clone();
    device().pgd_step(x_adv, x, on(Tensor::from_nchw(x.shape(), std::vector<float>{5e-7f, 0.0f})), op);
    EXPECT_NEAR(x_adv.cpu().data()[0], 0.55f, 1e-6f);  // half the floor, half the step
    device().pgd_step(x_adv, x, on(Tensor::zeros(x.shape())), op);
    EXPECT_NEAR(x_adv.cpu().data()[0], 0.55f, 1e-6f);
    EXPECT_EQ(x_adv.cpu().data()[1], 0.5f);
}

// Squares of these overflow or vanish in float32.
TEST_P(DevicePgdStepTest, VeryLargeAndVerySmallGradientsHaveDirections) {
    PgdStep op;
    op.step = 0.1f;
    op.grad_floor = 0.0f;
    for (const float scale : {1e30f, 1e-30f}) {
        const Tensor x = on(Tensor::full({1, 2}, 0.5f));
        Tensor x_adv = x.clone();
        device().pgd_step(x_adv, x, on(Tensor::from_nchw({1, 2}, std::vector<float>{3.0f * scale, 4.0f * scale})), op);
        EXPECT_NEAR(x_adv.cpu().data()[0], 0.56f, 1e-6f);
        EXPECT_NEAR(x_adv.cpu().data()[1], 0.58f, 1e-6f);
    }
}

TEST_P(DevicePgdStepTest, NanGradientsAreNotHidden) {
    for (const auto norm : {PgdStep::Norm::l2, PgdStep::Norm::linf}) {
        PgdStep op;
        op.norm = norm;
        const Tensor x = on(Tensor::full({1, 20}, 0.5f));
        Tensor x_adv = x.clone();
        device().pgd_step(x_adv, x, on(Tensor::full(x.shape(), std::numeric_limits<float>::quiet_NaN())), op);
        EXPECT_TRUE(std::isnan(x_adv.cpu().data()[3]));
    }
}

// Images whose rows start at odd addresses, in the batch or all three arguments differently.
TEST_P(DevicePgdStepTest, AnImageDoesNotDependOnItsBatch) {
    for (const PgdStep& op : settings()) {
        const Tensor x = images({7, 3, 5, 5}, 1), start = images(x.shape(), 2), grad = random(x.shape(), 3);
        Tensor all = start.clone();
        device().pgd_step(all, x, grad, op);
        for (int64_t n = 0; n < 7; ++n) {
            Tensor one = start.rows(n, n + 1).clone();
            device().pgd_step(one, x.rows(n, n + 1), grad.rows(n, n + 1), op);
            EXPECT_TRUE(identical(one.cpu(), all.cpu().rows(n, n + 1)));
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Device, DevicePgdStepTest, all_devices(), device_name);

}  // namespace
}  // namespace lethe::test
