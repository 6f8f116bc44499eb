// Invariants of the attack; tests/golden/ holds trajectories from PyTorch.
#include "unlearn/pgd.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "tensor/allocator.h"
#include "tensor/backend.h"
#include "tensor/parallel.h"
#include "tests/support/compare.h"
#include "tests/support/tiny.h"

namespace lethe::test {
namespace {

using testing::HasSubstr;
using Init = PgdOptions::Init;
using Norm = PgdStep::Norm;
using Order = PgdStep::Order;

constexpr int64_t rows = 6;
const std::vector<int64_t> targets{0, 1, 2, 3, 4, 0};

double perturbation(const Tensor& a, const Tensor& b, int64_t row, Norm norm) {
    const int64_t pixels = a.numel() / a.dim(0);
    double squares = 0, largest = 0;
    for (int64_t i = row * pixels; i < (row + 1) * pixels; ++i) {
        const double difference = static_cast<double>(a.data()[i]) - static_cast<double>(b.data()[i]);
        squares += difference * difference;
        largest = std::max(largest, std::abs(difference));
    }
    return norm == Norm::l2 ? std::sqrt(squares) : largest;
}

PgdOptions quick(Norm norm = Norm::l2) {
    PgdOptions options;
    options.step.norm = norm;
    options.step.eps = norm == Norm::l2 ? 1.0f : 0.05f;
    options.step.step = norm == Norm::l2 ? 0.2f : 0.01f;
    options.steps = 8;
    return options;
}

class Pgd : public testing::Test {
protected:
    void TearDown() override { set_threads(0); }

    PgdResult attack(const PgdOptions& options) { return pgd(*twin, images, targets, options); }

    std::unique_ptr<Model> twin = fold_batchnorm(*tiny_model());
    Tensor images = tiny_images(rows);
};

// A pool in pieces: the same bits and reports as in one, whatever the piece.
TEST_F(Pgd, APoolIsTheAttackOfItsRepeatedImages) {
    const PgdOptions options = quick();
    constexpr int64_t repeats = 3;
    const std::vector<int64_t> labels = draw_targets(targets, repeats, tiny_classes, false, 5);
    Tensor repeated = Tensor::empty(images.shape().with_rows(repeats * rows));
    for (int64_t i = 0; i < repeats; ++i) repeated.rows(i * rows, (i + 1) * rows).copy_from(images);
    const PgdResult whole = pgd(*twin, repeated, labels, options);
    for (const int64_t piece_rows : {4, 6, 100}) {
        int64_t taken = 0;
        std::vector<int64_t> progress;
        const std::vector<PgdReport> reports = attack_pool(
            *twin, images, labels, options,
            [&](const Tensor& part) {
                EXPECT_TRUE(identical(part, whole.images.rows(taken, taken + part.dim(0))));
                EXPECT_LE(part.dim(0), piece_rows);
                taken += part.dim(0);
            },
            [&](int64_t done) { progress.push_back(done); }, piece_rows * 3 * tiny_side * tiny_side * 4);
        EXPECT_EQ(taken, repeats * rows);
        EXPECT_EQ(progress.back(), repeats * rows);
        ASSERT_EQ(reports.size(), whole.report.size());
        for (std::size_t i = 0; i < reports.size(); ++i) {
            EXPECT_EQ(reports[i].predicted, whole.report[i].predicted);
            EXPECT_EQ(reports[i].norm, whole.report[i].norm);
            EXPECT_EQ(reports[i].loss, whole.report[i].loss);
        }
    }
}

// Once two pieces have been attacked, no number of them takes memory from the system.
TEST_F(Pgd, APoolTakesTheMemoryOfAPiece) {
    set_threads(1);  // several may or may not have worked at once before
    const auto run = [&](int64_t size) {
        const std::vector<int64_t> labels(static_cast<std::size_t>(size), 1);
        attack_pool(
            *twin, images, labels, quick(), [](const Tensor&) {}, {}, rows * 3 * tiny_side * tiny_side * 4);
        return CachingAllocator::cpu().stats().system_allocations;
    };
    const uint64_t warm = run(2 * rows);
    EXPECT_EQ(run(20 * rows), warm);
}

class PgdInvariants : public Pgd, public testing::WithParamInterface<std::tuple<Norm, Order, Init, bool>> {};

TEST_P(PgdInvariants, StaysInTheBallAndTheBoxAndReportsWhatItMade) {
    PgdOptions options = quick(std::get<0>(GetParam()));
    options.step.order = std::get<1>(GetParam());
    options.init = std::get<2>(GetParam());
    options.targeted = std::get<3>(GetParam());
    for (const int64_t steps : {0, 1, 8}) {
        options.steps = steps;
        const PgdResult result = attack(options);
        const std::vector<int64_t> predicted = predictions(*twin, result.images);
        for (int64_t i = 0; i < rows; ++i) {
            const PgdReport& report = result.report[static_cast<std::size_t>(i)];
            const double norm = perturbation(result.images, images, i, options.step.norm);
            EXPECT_LE(norm, static_cast<double>(options.step.eps) * (1 + 1e-5) + 1e-6);
            EXPECT_NEAR(report.norm, norm, 1e-6);
            EXPECT_GE(report.low, 0);
            EXPECT_LE(report.high, 1);
            const Tensor row = result.images.rows(i, i + 1);
            const auto [low, high] = std::minmax_element(row.values().begin(), row.values().end());
            EXPECT_EQ(report.low, *low);
            EXPECT_EQ(report.high, *high);
            EXPECT_EQ(report.predicted, predicted[static_cast<std::size_t>(i)]);
            EXPECT_EQ(report.success, (report.predicted == targets[static_cast<std::size_t>(i)]) == options.targeted);
            EXPECT_EQ(report.margin >= 0, report.success) << report.margin;
        }
    }
}

INSTANTIATE_TEST_SUITE_P(All, PgdInvariants,
                         testing::Combine(testing::Values(Norm::l2, Norm::linf),
                                          testing::Values(Order::box_then_ball, Order::ball_then_box),
                                          testing::Values(Init::uniform_box, Init::in_ball, Init::none),
                                          testing::Bool()));

TEST_F(Pgd, EpsZeroReturnsTheImages) {
    for (const Norm norm : {Norm::l2, Norm::linf})
        for (const Init init : {Init::uniform_box, Init::in_ball, Init::none}) {
            PgdOptions options = quick(norm);
            options.step.eps = 0;
            options.init = init;
            EXPECT_TRUE(close(attack(options).images, images, exact));
        }
}

TEST_F(Pgd, TargetedLowersAndUntargetedRaisesTheLoss) {
    for (const Norm norm : {Norm::l2, Norm::linf})
        for (const bool targeted : {true, false}) {
            PgdOptions options = quick(norm);
            options.targeted = targeted;
            options.init = Init::none;
            const PgdResult after = attack(options);
            options.steps = 0;
            const PgdResult before = attack(options);
            for (std::size_t i = 0; i < targets.size(); ++i) {
                const float gain = after.report[i].loss - before.report[i].loss;
                EXPECT_GT(targeted ? -gain : gain, 0.01f) << i;
            }
        }
}

TEST_F(Pgd, HitsItsTargetsGivenRoom) {
    PgdOptions options = quick();
    options.step.eps = 6;
    options.steps = 60;
    for (const PgdReport& report : attack(options).report) EXPECT_TRUE(report.success);
}

// Each start by its formula, one row, before projection has anything to do (a huge ball, or pixels far from the box).
TEST_F(Pgd, StartsAreTheDocumentedOnes) {
    const Random random(11, Purpose::attack);
    PgdOptions options = quick();
    options.steps = 0;
    options.seed = 11;
    options.step.eps = 1000;
    Tensor start = attack(options).images;
    const int64_t pixels = start.numel() / rows;
    for (const int64_t row : {0, 3})
        for (int64_t j = 0; j < pixels; ++j)
            EXPECT_NEAR(start.data()[row * pixels + j],
                        random.uniform(static_cast<uint64_t>(row), static_cast<uint32_t>(j)), 1e-6);

    options = quick(Norm::linf);
    options.steps = 0;
    options.seed = 11;
    options.init = Init::in_ball;
    images.fill(0.5f);
    start = attack(options).images;
    for (int64_t j = 0; j < pixels; ++j)
        EXPECT_NEAR(start.data()[pixels + j],
                    0.5f + options.step.eps * (2 * random.uniform(1, static_cast<uint32_t>(j)) - 1), 1e-6);
}

TEST_F(Pgd, L2StartInTheBallHasItsRadiusFromItsOwnWord) {
    const Random random(11, Purpose::attack);
    PgdOptions options = quick();
    options.steps = 0;
    options.seed = 11;
    options.init = Init::in_ball;
    images.fill(0.5f);
    const Tensor start = attack(options).images;
    for (int64_t i = 0; i < rows; ++i)  // 192 pixels are 48 whole blocks of words
        EXPECT_NEAR(perturbation(start, images, i, Norm::l2), random.uniform(static_cast<uint64_t>(i), 192), 1e-5);
}

TEST_F(Pgd, DoesNotDependOnPoolChunkThreadsOrPieces) {
    for (const Norm norm : {Norm::l2, Norm::linf}) {
        PgdOptions options = quick(norm);
        set_threads(1);
        options.chunk = rows;
        const Tensor expected = attack(options).images;
        for (const int threads : {1, 2, 3})
            for (const int64_t chunk : {1, 2, 4, 16}) {
                set_threads(threads);
                options.chunk = chunk;
                EXPECT_TRUE(identical(attack(options).images, expected)) << threads << " threads, chunk " << chunk;
            }
        const Tensor piece = pgd(*twin, images.rows(2, 5), std::span(targets).subspan(2, 3), options, {}, 2).images;
        EXPECT_TRUE(identical(piece, expected.rows(2, 5)));
    }
}

TEST_F(Pgd, ContinuesFromItsOwnResult) {
    PgdOptions options = quick();
    const Tensor whole = attack(options).images;
    options.steps = 3;
    const Tensor part = attack(options).images;
    options.steps = 5;
    EXPECT_TRUE(identical(pgd(*twin, images, targets, options, part).images, whole));
}

TEST_F(Pgd, EarlyStopLeavesSuccessesAlone) {
    PgdOptions options = quick();
    options.step.eps = 6;
    options.early_stop = true;
    std::map<std::size_t, std::vector<float>> done;
    std::size_t moved_last = 0;
    for (options.steps = 0; options.steps <= 60; options.steps += 4) {
        const PgdResult result = attack(options);
        for (std::size_t i = 0; i < targets.size(); ++i) {
            const Tensor row = result.images.rows(static_cast<int64_t>(i), static_cast<int64_t>(i) + 1);
            if (done.contains(i))
                EXPECT_TRUE(close(row.values(), done[i], exact));
            else if (result.report[i].success)
                done[i] = {row.values().begin(), row.values().end()}, moved_last = i;
        }
    }
    EXPECT_EQ(done.size(), targets.size()) << moved_last;
    // Without it, the same rows go on.
    options.early_stop = false;
    options.steps = 60;
    EXPECT_FALSE(close(attack(options).images.rows(0, 1).values(), done[0], exact));
}

TEST_F(Pgd, ProgressCountsEveryRow) {
    std::vector<int64_t> seen;
    PgdOptions options = quick();
    options.chunk = 2;
    pgd(*twin, images, targets, options, {}, 0, [&](int64_t done) { seen.push_back(done); });
    EXPECT_TRUE(std::is_sorted(seen.begin(), seen.end()));
    ASSERT_FALSE(seen.empty());
    EXPECT_EQ(seen.back(), rows);
}

TEST_F(Pgd, NoRowsNoWork) { EXPECT_TRUE(pgd(*twin, images.rows(0, 0), {}, quick()).report.empty()); }

TEST_F(Pgd, ABrokenModelHitsNothing) {
    auto broken = tiny_model();
    for (auto& [name, tensor] : broken->state())
        if (name == "linear.bias") tensor.fill(std::nanf(""));
    const auto broken_twin = fold_batchnorm(*broken);
    for (const bool targeted : {true, false}) {
        PgdOptions options = quick();
        options.targeted = targeted;
        options.steps = 0;
        for (const PgdReport& report : pgd(*broken_twin, images, targets, options).report) {
            EXPECT_FALSE(report.success);
            EXPECT_EQ(report.predicted, -1);
        }
    }
}

TEST_F(Pgd, AStepAllocatesNothingAfterWarmUp) {
    PgdOptions options = quick();
    options.steps = 2;
    set_threads(1);
    attack(options);
    const uint64_t allocations = CachingAllocator::cpu().stats().system_allocations, plans = plans_built();
    options.steps = 10;
    attack(options);
    EXPECT_EQ(CachingAllocator::cpu().stats().system_allocations, allocations);
    EXPECT_EQ(plans_built(), plans);
}

TEST_F(Pgd, RefusesBadInput) {
    const auto error = [&](auto&& change) {
        PgdOptions options = quick();
        change(options);
        return error_of([&] { attack(options); });
    };
    EXPECT_THAT(error([](PgdOptions& o) { o.step.eps = -1; }), HasSubstr("eps is -1"));
    EXPECT_THAT(error([](PgdOptions& o) { o.step.eps = std::nanf(""); }), HasSubstr("eps"));
    EXPECT_THAT(error([](PgdOptions& o) { o.step.step = 0; }), HasSubstr("step is 0"));
    EXPECT_THAT(error([](PgdOptions& o) { o.steps = -1; }), HasSubstr("steps is -1"));
    EXPECT_THAT(error([](PgdOptions& o) { o.chunk = 0; }), HasSubstr("chunk is 0"));
    EXPECT_THAT(error([](PgdOptions& o) { o.step.high = 0; }), HasSubstr("low"));
    EXPECT_THAT(error_of([&] { pgd(*twin, images, std::vector<int64_t>{1}, quick()); }), HasSubstr("1 labels"));
    EXPECT_THAT(error_of([&] { pgd(*twin, images, std::vector<int64_t>(rows, 5), quick()); }), HasSubstr("label 5"));
    EXPECT_THAT(error_of([&] { pgd(*twin, images, targets, quick(), images.rows(0, 1)); }), HasSubstr("[1, 3, 8, 8]"));
    EXPECT_THAT(error_of([&] { pgd(*twin, images, targets, quick(), Tensor::full(images.shape(), -1)); }),
                HasSubstr("start has a pixel of -1"));
    images.mutable_data()[5] = 1.5f;
    EXPECT_THAT(error_of([&] { attack(quick()); }), HasSubstr("pixel of 1.5"));
}

// 4 classes and 3000 draws per label: a share of 1/3 has standard error 0.0086, one of 1/4 0.0079; bounds are five.
TEST(DrawTargets, UniformOverTheOthers) {
    const std::vector<int64_t> targets_drawn = draw_targets(std::vector<int64_t>{0, 2}, 3000, 4, false, 5);
    std::map<std::pair<int64_t, int64_t>, int> count;
    for (std::size_t i = 0; i < targets_drawn.size(); ++i) ++count[{i % 2 == 0 ? 0 : 2, targets_drawn[i]}];
    for (const int64_t label : {0, 2})
        for (int64_t target = 0; target < 4; ++target)
            EXPECT_NEAR(count[std::make_pair(label, target)] / 3000.0, target == label ? 0 : 1.0 / 3,
                        target == label ? 0 : 0.043);
}

// The reference's: class C/2 takes the share of the true label, and an image of class C/2 can keep its own.
TEST(DrawTargets, FallbackOfTheReference) {
    const std::vector<int64_t> targets_drawn = draw_targets(std::vector<int64_t>{0, 2}, 3000, 4, true, 5);
    std::map<std::pair<int64_t, int64_t>, int> count;
    for (std::size_t i = 0; i < targets_drawn.size(); ++i) ++count[{i % 2 == 0 ? 0 : 2, targets_drawn[i]}];
    EXPECT_EQ(count[std::make_pair(0, 0)], 0);
    EXPECT_NEAR(count[std::make_pair(0, 2)] / 3000.0, 0.5, 0.046);
    EXPECT_NEAR(count[std::make_pair(2, 2)] / 3000.0, 0.25, 0.04);
}

TEST(DrawTargets, IsRepeatMajorAndAddressed) {
    const std::vector<int64_t> labels{3, 1, 4};
    const std::vector<int64_t> twice = draw_targets(labels, 2, 10, false, 9),
                               once = draw_targets(labels, 1, 10, false, 9);
    ASSERT_EQ(twice.size(), 6u);
    EXPECT_TRUE(std::equal(once.begin(), once.end(), twice.begin()));
    for (std::size_t i = 0; i < twice.size(); ++i) EXPECT_NE(twice[i], labels[i % 3]);
}

TEST(DrawTargets, LabelsBeyondTheAttackClassesExcludeNothing) {
    for (const bool fallback : {false, true})
        for (const int64_t target : draw_targets(std::vector<int64_t>(200, 70), 1, 10, fallback, 1)) {
            EXPECT_GE(target, 0);
            EXPECT_LT(target, 10);
        }
}

TEST(DrawTargets, RefusesBadInput) {
    const std::vector<int64_t> labels{0};
    EXPECT_THAT(error_of([&] { draw_targets(labels, 0, 10, false, 0); }), HasSubstr("0 targets"));
    EXPECT_THAT(error_of([&] { draw_targets(labels, 1, 1, false, 0); }), HasSubstr("2 classes"));
}

}  // namespace
}  // namespace lethe::test
