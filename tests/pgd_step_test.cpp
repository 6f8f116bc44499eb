#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/support/cpu.h"
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

const std::vector<Shape> shapes = {{3, 3, 32, 32}, {1, 1, 1, 1}, {17, 3, 5, 5}, {2, 1, 7, 9}, {4, 33}};

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
    for (const float value : x_adv.values()) {
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

class PgdStepTest : public IsaTest {};

TEST_P(PgdStepTest, StepAgreesWithTheOracleAndKeepsItsConstraints) {
    for (const Shape& shape : shapes)
        for (const PgdStep& op : settings()) {
            SCOPED_TRACE(describe(shape, op));
            const Tensor x = random_images(shape, 1), start = random_images(shape, 2), grad = random_tensor(shape, 3);
            const auto results = same_for_any_threads([&] {
                Tensor x_adv = start.clone(), projected = start.clone();
                cpu->pgd_step(x_adv, x, grad, op);
                cpu->pgd_project(projected, x, op);
                return std::vector{x_adv, projected};
            });
            const Array xs(x), starts(start), grads(grad);
            EXPECT_TRUE(close(results[0].to_nchw(), reference::pgd_step(starts, xs, &grads, op), elementwise));
            EXPECT_TRUE(close(results[1].to_nchw(), reference::pgd_step(starts, xs, nullptr, op), elementwise));
            for (const Tensor& result : results) expect_inside(result, x, op);
        }
}

TEST_P(PgdStepTest, ManyStepsKeepTheConstraints) {
    for (const PgdStep& op : settings()) {
        const Tensor x = random_images({2, 3, 8, 8}, 1);
        Tensor x_adv = random_images(x.shape(), 2);
        cpu->pgd_project(x_adv, x, op);
        for (uint64_t step = 0; step < 50; ++step) {
            cpu->pgd_step(x_adv, x, random_tensor(x.shape(), 10 + step), op);
            expect_inside(x_adv, x, op);
        }
    }
}

TEST_P(PgdStepTest, AStepInsideBothSetsHasItsLength) {
    PgdStep op;
    op.step = 0.1f;
    const Tensor x = Tensor::full({2, 3, 16, 16}, 0.5f), grad = random_tensor(x.shape(), 3, 1000.0f);
    Tensor x_adv = x.clone();
    cpu->pgd_step(x_adv, x, grad, op);
    for (int64_t n = 0; n < 2; ++n) EXPECT_NEAR(reference::row_distance(Array(x_adv), Array(x), n), 0.1, 1e-6);
}

TEST_P(PgdStepTest, GradientsBelowTheFloorMoveLess) {
    PgdStep op;
    op.step = 0.1f;
    const Tensor x = Tensor::full({1, 1, 1, 2}, 0.5f);
    Tensor x_adv = x.clone();
    cpu->pgd_step(x_adv, x, Tensor::from_nchw(x.shape(), std::vector<float>{5e-7f, 0.0f}), op);
    EXPECT_NEAR(x_adv.data()[0], 0.55f, 1e-6f);  // half the floor, half the step
    cpu->pgd_step(x_adv, x, Tensor::zeros(x.shape()), op);
    EXPECT_NEAR(x_adv.data()[0], 0.55f, 1e-6f);
    EXPECT_EQ(x_adv.data()[1], 0.5f);
}

TEST_P(PgdStepTest, NanGradientsAreNotHidden) {
    for (const auto norm : {PgdStep::Norm::l2, PgdStep::Norm::linf}) {
        PgdStep op;
        op.norm = norm;
        const Tensor x = Tensor::full({1, 20}, 0.5f);
        Tensor x_adv = x.clone();
        cpu->pgd_step(x_adv, x, Tensor::full(x.shape(), std::numeric_limits<float>::quiet_NaN()), op);
        EXPECT_TRUE(std::isnan(x_adv.data()[3]));
    }
}

TEST_P(PgdStepTest, AnImageDoesNotDependOnItsBatch) {
    const Tensor x = random_images({19, 3, 8, 8}, 1), start = random_images(x.shape(), 2),
                 grad = random_tensor(x.shape(), 3);
    Tensor all = start.clone();
    cpu->pgd_step(all, x, grad, {});
    for (int64_t n = 0; n < 19; ++n) {
        Tensor one = start.rows(n, n + 1).clone();
        cpu->pgd_step(one, x.rows(n, n + 1), grad.rows(n, n + 1), {});
        EXPECT_TRUE(identical(one, all.rows(n, n + 1)));
    }
}

TEST_P(PgdStepTest, WarmCallsTakeNoMemory) {
    const Tensor x = random_images({19, 3, 8, 8}, 1), grad = random_tensor(x.shape(), 3);
    Tensor x_adv = x.clone();
    expect_steady([&] { cpu->pgd_step(x_adv, x, grad, {}); });
}

INSTANTIATE_TEST_SUITE_P(Isa, PgdStepTest, all_isas(), isa_name);

}  // namespace
}  // namespace lethe::test
