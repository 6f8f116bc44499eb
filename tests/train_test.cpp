#include "unlearn/train.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numbers>

#include "data/synthetic.h"
#include "tensor/allocator.h"
#include "tensor/backend.h"
#include "tensor/parallel.h"
#include "tests/support/compare.h"

namespace lethe::test {
namespace {

using testing::HasSubstr;

class Train : public testing::Test {
protected:
    Train() {
        options.epochs = 2;
        options.batch_size = 16;
        options.optimizer.lr = 0.05f;
    }
    void TearDown() override { set_threads(0); }

    // Trains a fresh model; keeps the trace and the state after step `snapshot_step`.
    StateDict run(const std::optional<TrainState>& resume = {}) {
        Model model({.arch = "resnet8", .classes = data.classes()}, 3);
        traces.clear();
        train(
            model, data, options,
            [&](const TrainTrace& trace, const auto& snapshot) {
                traces.push_back(trace);
                if (trace.step == snapshot_step) state = snapshot();
                return trace.step != stop_at;
            },
            resume);
        return model.state();
    }
    void expect_identical(const StateDict& actual, const StateDict& expected) {
        ASSERT_EQ(actual.size(), expected.size());
        for (std::size_t i = 0; i < actual.size(); ++i)
            EXPECT_TRUE(identical(actual[i].second, expected[i].second)) << actual[i].first;
    }

    Dataset data = make_synthetic(1, Split::train, 40);
    TrainOptions options;
    std::vector<TrainTrace> traces;
    TrainState state;
    int64_t snapshot_step = -1, stop_at = -1;
};

TEST_F(Train, LossFallsAndTheTraceCounts) {
    options.epochs = 10;
    options.augment = false;
    run();
    ASSERT_EQ(traces.size(), 30u);  // 16 + 16 + 8 images an epoch
    const auto epoch_loss = [&](std::size_t first) {
        return (traces[first].loss * 16 + traces[first + 1].loss * 16 + traces[first + 2].loss * 8) / 40;
    };
    EXPECT_LT(epoch_loss(27), 0.7 * epoch_loss(0));
    for (std::size_t i = 0; i < traces.size(); ++i) {
        EXPECT_EQ(traces[i].step, static_cast<int64_t>(i) + 1);
        EXPECT_EQ(traces[i].epoch, static_cast<int64_t>(i) / 3);
        EXPECT_EQ(traces[i].steps_per_epoch, 3);
        EXPECT_EQ(traces[i].total, i % 3 == 2 ? 8 : 16);
        EXPECT_LE(traces[i].correct, traces[i].total);
    }
}

// lr / 2 * (1 + cos(pi s / n)) after a warm-up of (s + 1) / w.
TEST_F(Train, ScheduleByHand) {
    options.optimizer.lr = 0.01f;
    run();
    ASSERT_EQ(traces.size(), 6u);
    EXPECT_NEAR(traces[0].lr, 0.01, 1e-8);
    EXPECT_NEAR(traces[2].lr, 0.0075, 1e-8);  // cos(pi/3) = 1/2
    EXPECT_NEAR(traces[3].lr, 0.005, 1e-8);
    EXPECT_NEAR(traces[5].lr, 0.005 * (1 - std::sqrt(3.0) / 2), 1e-8);
    options.warmup_steps = 2;
    run();
    EXPECT_NEAR(traces[0].lr, 0.005, 1e-8);
    EXPECT_NEAR(traces[1].lr, 0.01, 1e-8);
    EXPECT_NEAR(traces[2].lr, 0.01, 1e-8);
    EXPECT_NEAR(traces[4].lr, 0.005, 1e-8);  // half-way through the 4 steps after it
    options.schedule = "constant";
    run();
    EXPECT_NEAR(traces[0].lr, 0.005, 1e-8);
    for (std::size_t i = 1; i < 6; ++i) EXPECT_NEAR(traces[i].lr, 0.01, 1e-8);
}

TEST_F(Train, AResumedTwinEndsBitIdentical) {
    for (const int64_t at : {1, 3, 4, 6}) {
        snapshot_step = at;
        const StateDict whole = run();
        snapshot_step = -1;
        expect_identical(run(state), whole);
        EXPECT_EQ(static_cast<int64_t>(traces.size()), 6 - at);
    }
}

TEST_F(Train, DoesNotDependOnThreads) {
    set_threads(1);
    const StateDict one = run();
    set_threads(2);
    expect_identical(run(), one);
}

TEST_F(Train, SeedAndAugmentationMatter) {
    const StateDict first = run();
    options.seed = 1;
    const StateDict other_seed = run();
    options.seed = 0;
    options.augment = false;
    const StateDict plain = run();
    EXPECT_FALSE(identical(first.front().second, other_seed.front().second));
    EXPECT_FALSE(identical(first.front().second, plain.front().second));
}

TEST_F(Train, StopsWhenToldTo) {
    stop_at = 2;
    run();
    EXPECT_EQ(traces.size(), 2u);
}

TEST_F(Train, TheSecondHalfAllocatesNothing) {
    options.epochs = 6;
    set_threads(1);
    Model model({.arch = "resnet8", .classes = data.classes()});
    uint64_t allocations = 0, plans = 0;
    train(model, data, options, [&](const TrainTrace& trace, const auto&) {
        if (trace.step == 9) {
            allocations = CachingAllocator::cpu().stats().system_allocations;
            plans = plans_built();
        }
        return true;
    });
    EXPECT_EQ(CachingAllocator::cpu().stats().system_allocations, allocations);
    EXPECT_EQ(plans_built(), plans);
}

TEST_F(Train, DivergenceIsAnErrorThatNamesTheStep) {
    options.optimizer.lr = 1e30f;
    EXPECT_THAT(error_of([&] { run(); }), HasSubstr("at step 2"));
}

TEST_F(Train, RefusesBadInput) {
    const TrainOptions good = options;
    const auto refused = [&](auto&& change) {
        options = good;
        change(options);
        return error_of([&] { run(); });
    };
    EXPECT_THAT(refused([](auto& o) { o.epochs = 0; }), HasSubstr("epochs is 0"));
    EXPECT_THAT(refused([](auto& o) { o.batch_size = 0; }), HasSubstr("batch_size is 0"));
    EXPECT_THAT(refused([](auto& o) { o.schedule = "step"; }), HasSubstr("cosine and constant"));
    EXPECT_THAT(refused([](auto& o) { o.warmup_steps = -1; }), HasSubstr("warmup_steps is -1"));
    EXPECT_THAT(refused([](auto& o) { o.crop_pad = -1; }), HasSubstr("crop_pad is -1"));
    Model narrow({.arch = "resnet8", .classes = 3});
    EXPECT_THAT(error_of([&] { train(narrow, data, good); }), HasSubstr("only 3 classes"));
    EXPECT_THAT(error_of([&] { train(narrow, Dataset{}, good); }), HasSubstr("no images"));
}

}  // namespace
}  // namespace lethe::test
