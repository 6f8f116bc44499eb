#include "unlearn/train.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "data/synthetic.h"
#include "nn/average.h"
#include "tensor/allocator.h"
#include "tensor/backend.h"
#include "tensor/parallel.h"
#include "tests/support/compare.h"
#include "unlearn/trace.h"

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

    // Trains a fresh model from `resume` or the start; keeps the trace and the state after step `snapshot_step`.
    StateDict run(const TrainState* resume = nullptr) {
        Model model({.arch = "resnet8", .classes = data.classes()}, 3);
        Training training(model, selected(), options);
        if (resume != nullptr) training.load(*resume);
        traces.clear();
        while (!training.done()) {
            traces.push_back(training.step());
            if (traces.back().step == snapshot_step) state = training.snapshot();
        }
        StateDict result;
        for (const auto& [name, tensor] : training.result().state()) result.emplace_back(name, tensor.clone());
        return result;
    }
    virtual TrainData selected() { return {.train = data}; }
    void expect_identical(const StateDict& actual, const StateDict& expected) {
        ASSERT_EQ(actual.size(), expected.size());
        for (std::size_t i = 0; i < actual.size(); ++i)
            EXPECT_TRUE(identical(actual[i].second, expected[i].second)) << actual[i].first;
    }

    Dataset data = make_synthetic(1, Split::train, 40);
    TrainOptions options;
    std::vector<TrainTrace> traces;
    TrainState state;
    int64_t snapshot_step = -1;
};

TEST_F(Train, LossFallsAndTheTraceCounts) {
    options.epochs = 10;
    options.augment = false;
    run();
    ASSERT_EQ(traces.size(), 30u);  // 16 + 16 + 8 images an epoch
    for (std::size_t i = 0; i < traces.size(); ++i) {
        EXPECT_EQ(traces[i].step, static_cast<int64_t>(i) + 1);
        EXPECT_EQ(traces[i].epoch, static_cast<int64_t>(i) / 3);
        EXPECT_EQ(traces[i].steps_per_epoch, 3);
        EXPECT_EQ(traces[i].total, i % 3 == 2 ? 8 : 16);
        EXPECT_LE(traces[i].correct, traces[i].total);
        ASSERT_EQ(traces[i].epoch_end.has_value(), i % 3 == 2);
        if (i % 3 != 2) continue;
        const EpochTrace& epoch = *traces[i].epoch_end;
        EXPECT_EQ(epoch.epoch, traces[i].epoch);
        EXPECT_EQ(epoch.training.total, 40);
        EXPECT_EQ(epoch.training.correct, traces[i - 2].correct + traces[i - 1].correct + traces[i].correct);
        EXPECT_NEAR(epoch.loss, (traces[i - 2].loss * 16 + traces[i - 1].loss * 16 + traces[i].loss * 8) / 40, 1e-12);
        EXPECT_EQ(epoch.lr, traces[i].lr);
        EXPECT_FALSE(epoch.evaluation.has_value());
    }
    EXPECT_LT(traces[29].epoch_end->loss, 0.7 * traces[2].epoch_end->loss);
}

// With everything that a recipe can have, an evaluation and its best.
class Recipe : public Train {
protected:
    Recipe() {
        options.epochs = 4;
        options.evaluate_every = 2;
        options.optimizer = {.name = "adamw", .lr = 0.003f, .weight_decay = 0.1f, .decay_all = false, .clip_norm = 1};
        options.schedule.name = "onecycle";
        options.label_smoothing = 0.1f;
        options.ema = 0.9f;
        parts = hold_out(data.size(), 10, 5);
    }
    TrainData selected() override {
        return {.train = data, .indices = parts.train, .evaluation = &data, .evaluation_indices = parts.validation};
    }
    HeldOut parts;
};

TEST_F(Train, HoldsOutADrawnPart) {
    const HeldOut parts = hold_out(40, 10, 5), again = hold_out(40, 10, 5), other = hold_out(40, 10, 6);
    EXPECT_EQ(parts.validation.size(), 10u);
    EXPECT_EQ(parts.validation, again.validation);
    EXPECT_NE(parts.validation, other.validation);
    std::vector<int64_t> all(40), together;
    std::iota(all.begin(), all.end(), 0);
    std::merge(parts.train.begin(), parts.train.end(), parts.validation.begin(), parts.validation.end(),
               std::back_inserter(together));
    EXPECT_EQ(together, all);
    EXPECT_THAT(error_of([] { hold_out(40, 40, 0); }), HasSubstr("1 to 39"));
    EXPECT_THAT(error_of([] { hold_out(40, 0, 0); }), HasSubstr("0 of 40"));
}

// What is evaluated is the average, through its folded twin; the best is the first of equals in accuracy and loss.
TEST_F(Recipe, EvaluatesTheAverageAndKnowsTheBest) {
    options.evaluate_every = 3;
    const StateDict last = run();
    ASSERT_EQ(traces.size(), 8u);  // 16 + 14 images an epoch
    std::vector<int64_t> evaluated;
    Score best;
    for (const TrainTrace& trace : traces) {
        EXPECT_GT(trace.gradient_norm, 0.0);
        if (!trace.epoch_end || !trace.epoch_end->evaluation) continue;
        const EpochTrace& epoch = *trace.epoch_end;
        EXPECT_EQ(epoch.best, evaluated.empty() || epoch.evaluation->better_than(best));
        if (epoch.best) best = *epoch.evaluation;
        evaluated.push_back(epoch.epoch);
    }
    EXPECT_EQ(evaluated, (std::vector<int64_t>{2, 3}));
    Model model({.arch = "resnet8", .classes = data.classes()}, 0);
    model.load_state(last);
    const Evaluation expected = evaluate(*fold_batchnorm(model), data, parts.validation);
    EXPECT_EQ(traces.back().epoch_end->evaluation->accuracy.correct, expected.accuracy.correct);
    EXPECT_EQ(traces.back().epoch_end->evaluation->loss, expected.loss);
}

TEST_F(Recipe, AResumedTwinEndsBitIdentical) {
    const TemporaryFolder folder;
    for (const int64_t at : {1, 3, 4, 7, 8}) {
        snapshot_step = at;
        const StateDict whole = run();
        const std::vector<TrainTrace> expected = traces;
        snapshot_step = -1;
        save_train_state(folder.path("state"), state, {{"more", "7"}});
        std::map<std::string, std::string> numbers;
        const TrainState loaded = load_train_state(folder.path("state"), &numbers);
        EXPECT_EQ(numbers.at("more"), "7");
        expect_identical(run(&loaded), whole);
        ASSERT_EQ(static_cast<int64_t>(traces.size()), 8 - at);
        for (std::size_t i = 0; i < traces.size(); ++i) {
            const TrainTrace &actual = traces[i], &before = expected[i + static_cast<std::size_t>(at)];
            EXPECT_EQ(actual.loss, before.loss);
            EXPECT_EQ(actual.lr, before.lr);
            ASSERT_EQ(actual.epoch_end.has_value(), before.epoch_end.has_value());
            if (!actual.epoch_end) continue;
            EXPECT_EQ(actual.epoch_end->loss, before.epoch_end->loss);
            EXPECT_EQ(actual.epoch_end->training.correct, before.epoch_end->training.correct);
            EXPECT_EQ(actual.epoch_end->best, before.epoch_end->best);
        }
    }
}

TEST_F(Train, AResumedTwinOfThePlainOptionsEndsBitIdentical) {
    for (const int64_t at : {1, 3, 6}) {
        snapshot_step = at;
        const StateDict whole = run();
        snapshot_step = -1;
        expect_identical(run(&state), whole);
        EXPECT_EQ(static_cast<int64_t>(traces.size()), 6 - at);
    }
}

// Images that a transform augments: the first step sees what request() gives for epoch 0 and the seed's order.
class Transformed : public Train {
protected:
    Transformed() {
        data = load_dataset("synthetic:1:40", Split::train,
                            {.transform = parse_transform("resize=36,random-resized-crop=24,flip")});
        options.crop_pad = 12;  // has no say
    }
    double loss_of(const Tensor& images, std::span<const int64_t> indices) const {
        Model model({.arch = "resnet8", .classes = data.classes()}, 3);
        const Var logits = model.forward(images, BatchNormMode::batch);
        return evaluate_logits(logits.value(), data.labels_of(indices).int64_values()).loss;
    }
};

TEST_F(Transformed, StepsSeeTheRandomStepsOfTheTransform) {
    std::vector<int64_t> order = Random(options.seed, Purpose::shuffle).permutation(40, 0);
    const std::span<const int64_t> first = std::span(order).first(16);
    std::vector<uint64_t> items(16);
    std::iota(items.begin(), items.end(), uint64_t{0});
    const Tensor augmented = data.request(first, Random(options.seed, Purpose::augment), items).get();
    const Tensor plain = data.images(first);
    ASSERT_FALSE(identical(augmented, plain));
    run();
    EXPECT_NEAR(traces.front().loss, loss_of(augmented, first), 1e-6);
    options.augment = false;
    run();
    EXPECT_NEAR(traces.front().loss, loss_of(plain, first), 1e-6);
}

TEST_F(Transformed, AResumedTwinEndsBitIdenticalWhateverTheThreads) {
    snapshot_step = 2;
    set_threads(1);
    const StateDict whole = run();
    snapshot_step = -1;
    set_threads(3);
    expect_identical(run(), whole);
    expect_identical(run(&state), whole);
}

TEST_F(Train, RefusesTheStateOfAnotherTraining) {
    snapshot_step = 6;
    run();
    options.epochs = 1;
    EXPECT_THAT(error_of([&] { run(&state); }), HasSubstr("step 6 of 3"));
    options.epochs = 2;
    options.ema = 0.5f;
    EXPECT_THAT(error_of([&] { run(&state); }), HasSubstr("average"));
}

TEST_F(Recipe, DoesNotDependOnThreads) {
    set_threads(1);
    const StateDict one = run();
    set_threads(2);
    expect_identical(run(), one);
}

TEST_F(Train, SeedAugmentationAndEveryOptionMatter) {
    const StateDict first = run();
    const TrainOptions usual = options;
    const auto differs = [&](auto&& change) {
        options = usual;
        change(options);
        return !identical(first.front().second, run().front().second);
    };
    EXPECT_TRUE(differs([](auto& o) { o.seed = 1; }));
    EXPECT_TRUE(differs([](auto& o) { o.augment = false; }));
    EXPECT_TRUE(differs([](auto& o) { o.label_smoothing = 0.1f; }));
    EXPECT_TRUE(differs([](auto& o) { o.ema = 0.5f; }));
    EXPECT_TRUE(differs([](auto& o) { o.optimizer.clip_norm = 0.1f; }));
    EXPECT_TRUE(differs([](auto& o) { o.optimizer.clip_value = 0.001f; }));
    EXPECT_TRUE(differs([](auto& o) { o.optimizer.no_decay = "conv1"; }));
    EXPECT_TRUE(differs([](auto& o) { o.schedule.name = "linear"; }));
    EXPECT_FALSE(differs([](auto& o) { o.evaluate_every = 3; }));
}

TEST_F(Recipe, TheSecondHalfAllocatesNothing) {
    options.epochs = 6;
    set_threads(1);
    Model model({.arch = "resnet8", .classes = data.classes()});
    Training training(model, selected(), options);
    while (training.step().step < 8) continue;  // evaluated twice
    const uint64_t allocations = CachingAllocator::cpu().stats().system_allocations, plans = plans_built();
    while (!training.done()) training.step();
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
    EXPECT_THAT(refused([](auto& o) { o.crop_pad = -1; }), HasSubstr("crop_pad is -1"));
    EXPECT_THAT(refused([](auto& o) { o.label_smoothing = 1; }), HasSubstr("label_smoothing is 1"));
    EXPECT_THAT(refused([](auto& o) { o.ema = 1; }), HasSubstr("ema is 1"));
    EXPECT_THAT(refused([](auto& o) { o.evaluate_every = 0; }), HasSubstr("evaluate_every is 0"));
    EXPECT_THAT(refused([](auto& o) { o.optimizer.no_decay = "conv1,bn7"; }), HasSubstr("'bn7'"));
    EXPECT_THAT(refused([](auto& o) { o.schedule.name = "step"; }), HasSubstr("cosine-epoch and onecycle"));
    Model narrow({.arch = "resnet8", .classes = 3});
    EXPECT_THAT(error_of([&] { train(narrow, data, good); }), HasSubstr("only 3 classes"));
    EXPECT_THAT(error_of([&] { train(narrow, Dataset{}, good); }), HasSubstr("no images"));
    EXPECT_THAT(error_of([&] { Training(narrow, {.train = data, .indices = {40}}, good); }), HasSubstr("image 40 of"));
}

// lr with a warm-up of (s + 1) / w; linear lr (1 - p), cosine lr / 2 (1 + cos(pi p)).
TEST(Schedule, ByHand) {
    const auto rates = [](const ScheduleSpec& spec) {
        const Schedule schedule(spec, {.name = "sgd", .lr = 0.01f, .momentum = 0.5f}, 2, 3);
        std::vector<float> all;
        for (int64_t step = 0; step < 6; ++step) {
            EXPECT_EQ(schedule.at(step).momentum, 0.5);
            all.push_back(static_cast<float>(schedule.at(step).lr));
        }
        return all;
    };
    const auto root = std::sqrt(3.0f) / 2;
    const auto expect = [&](const ScheduleSpec& spec, const std::vector<float>& expected) {
        EXPECT_TRUE(close(rates(spec), expected, elementwise)) << spec.name << " " << spec.warmup_steps;
    };
    expect({.name = "constant"}, {.01f, .01f, .01f, .01f, .01f, .01f});
    expect({.name = "constant", .warmup_steps = 2}, {.005f, .01f, .01f, .01f, .01f, .01f});
    expect({.name = "linear"}, {.01f, .05f / 6, .04f / 6, .03f / 6, .02f / 6, .01f / 6});
    expect({.name = "linear", .warmup_steps = 2}, {.005f, .01f, .01f, .0075f, .005f, .0025f});
    expect({.name = "cosine"}, {.01f, .005f * (1 + root), .0075f, .005f, .0025f, .005f * (1 - root)});
    expect({.name = "cosine", .warmup_steps = 2},
           {.005f, .01f, .01f, .005f * (1 + std::sqrt(0.5f)), .005f, .005f * (1 - std::sqrt(0.5f))});
    expect({.name = "cosine-epoch"}, {.01f, .01f, .01f, .005f, .005f, .005f});
    expect({.name = "cosine-epoch", .warmup_steps = 1, .t_max = 4},
           {.01f, .01f, .01f, .005f * (1 + std::sqrt(0.5f)), .005f * (1 + std::sqrt(0.5f)),
            .005f * (1 + std::sqrt(0.5f))});
}

TEST(Schedule, RefusesBadOptions) {
    const auto error = [](const ScheduleSpec& spec) { return error_of([&] { spec.validate(); }); };
    EXPECT_THAT(error({.name = "step"}), HasSubstr("known ones are"));
    EXPECT_THAT(error({.warmup_steps = -1}), HasSubstr("warmup_steps is -1"));
    EXPECT_THAT(error({.name = "onecycle", .warmup_steps = 3}), HasSubstr("by itself"));
    EXPECT_THAT(error({.t_max = 3}), HasSubstr("cosine-epoch"));
    EXPECT_THAT(error({.pct_start = 1}), HasSubstr("pct_start is 1"));
    EXPECT_THAT(error({.div = 0.5}), HasSubstr("div is 0.5"));
    EXPECT_THAT(error({.final_div = 0}), HasSubstr("final_div is 0"));
    EXPECT_THAT(error({.base_momentum = 0.9, .max_momentum = 0.8}), HasSubstr("base_momentum is 0.9"));
}

// Step t moves by 1 - min(decay, (1 + t) / (10 + t)): by 9/11 at first, later by 1/2.
TEST(WeightAverage, ByHand) {
    Model model({.arch = "resnet8"}, 1);
    WeightAverage average(model, 0.5f);
    const auto first = [](const Model& of, const std::string& name) {
        for (const auto& [entry, tensor] : of.state())
            if (entry == name) return tensor;
        return Tensor();
    };
    for (const char* name : {"linear.bias", "bn1.running_mean"}) {
        first(model, name).fill(0);
        first(average.model(), name).fill(1);
    }
    for (int64_t step : {1, 2, 1000}) {
        average.prepare_step(step);
        average.apply_step();
    }
    for (const char* name : {"linear.bias", "bn1.running_mean"})
        EXPECT_NEAR(first(average.model(), name).values()[0], 2.0 / 11 * 3 / 12 / 2, 1e-7);
    EXPECT_TRUE(identical(first(average.model(), "conv1.weight"), first(model, "conv1.weight")));
    EXPECT_THAT(error_of([&] { WeightAverage(model, 1.0f); }), HasSubstr("(0, 1)"));
}

}  // namespace
}  // namespace lethe::test
