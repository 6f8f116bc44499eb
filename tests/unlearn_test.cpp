// The unlearning loop's rules: order of images, stop rules, divergence. Numbers against PyTorch are in the golden
// tests.
#include "unlearn/unlearn.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "autograd/ops.h"
#include "tests/support/compare.h"
#include "tests/support/tiny.h"
#include "tests/support/tiny_task.h"
#include "unlearn/metrics.h"
#include "unlearn/stop.h"

namespace lethe::test {
namespace {

using testing::HasSubstr;

class Unlearn : public testing::Test {
protected:
    UnlearnResult run(const std::string& method, const std::optional<UnlearnState>& resume = {}) {
        traces.clear();
        return unlearn(
            *model, find_method(method), task, options,
            [&](const StepTrace& trace, const auto& snapshot) {
                traces.push_back(trace);
                if (trace.step == snapshot_step) state = snapshot();
                return trace.step != stop_at;
            },
            resume);
    }
    std::string error(const std::string& method) {
        return error_of([&] { unlearn(*model, find_method(method), task, options); });
    }
    double loss_of(const Tensor& images, std::span<const int64_t> labels) {
        return evaluate_logits(predict(*fold_batchnorm(*model), images), labels).loss;
    }

    std::unique_ptr<Model> model = tiny_model();
    ForgetTask task = tiny_task(*model);
    UnlearnOptions options = tiny_options();
    std::vector<StepTrace> traces;
    UnlearnState state;
    int64_t snapshot_step = -1, stop_at = -1;
};

TEST(AdversarialOrder, RepeatMajorAndBatchMajor) {
    // Rows of images a b c with repeats 0 1: a0 b0 c0 a1 b1 c1.
    EXPECT_EQ(adversarial_order(3, 2, 2, false), (std::vector<int64_t>{0, 1, 2, 3, 4, 5}));
    EXPECT_EQ(adversarial_order(3, 2, 2, true), (std::vector<int64_t>{0, 1, 3, 4, 2, 5}));
    EXPECT_EQ(adversarial_order(3, 2, 1, true), (std::vector<int64_t>{0, 3, 1, 4, 2, 5}));
    EXPECT_EQ(adversarial_order(3, 2, 32, true), (std::vector<int64_t>{0, 1, 2, 3, 4, 5}));
    EXPECT_THAT(error_of([] { adversarial_order(0, 1, 1, true); }), HasSubstr("at least one"));
}

// With a rate of 0 nothing moves, so each step's losses name the images it used.
TEST_F(Unlearn, StepsGoThroughTheSetsInOrder) {
    options.optimizer.lr = 0;
    options.stop.max_steps = 5;
    const auto forget = [&](int64_t begin, int64_t end) {
        return loss_of(
            task.images.rows(begin, end),
            std::span(task.labels).subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(end - begin)));
    };
    const auto adversarial = [&](const std::vector<int64_t>& rows) {
        double sum = 0;
        for (const int64_t row : rows)
            sum += loss_of(task.adversarial.rows(row, row + 1),
                           std::span(task.adversarial_labels).subspan(static_cast<std::size_t>(row), 1));
        return sum / static_cast<double>(rows.size());
    };
    const auto expect = [&](std::size_t step, double forget_loss, double adversarial_loss) {
        EXPECT_NEAR(traces[step].forget_loss, forget_loss, 1e-4) << step;
        EXPECT_NEAR(traces[step].adversarial_loss, adversarial_loss, 1e-4) << step;
    };
    run("neggrad");
    for (const std::size_t step : {0, 1, 2, 3, 4}) expect(step, step % 2 == 0 ? forget(0, 3) : forget(3, 4), 0);
    // 12 rows in batches of 8: passes of two steps, each of which starts with the first D_f batch.
    run("adv");
    for (const std::size_t step : {0, 2, 4}) expect(step, forget(0, 3), adversarial({0, 1, 2, 3, 4, 5, 6, 7}));
    for (const std::size_t step : {1, 3}) expect(step, forget(3, 4), adversarial({8, 9, 10, 11}));
    options.switches.adv_order_batch = true;
    run("adv");
    expect(0, forget(0, 3), adversarial({0, 1, 2, 4, 5, 6, 8, 9}));
    expect(1, forget(3, 4), adversarial({10, 3, 7, 11}));
    options.forget_batch = 4;
    options.adversarial_batch = 4;  // three steps a pass, one D_f batch
    run("adv");
    for (std::size_t step = 0; step < 5; ++step) expect(step, forget(0, 4), traces[step % 3].adversarial_loss);
}

TEST_F(Unlearn, ShuffledPassesUseEveryRowOnceAndDiffer) {
    options.optimizer.lr = 0;
    options.shuffle = true;
    options.stop.max_steps = 4;
    run("adv");
    const auto pass = [&](std::size_t first) {
        return 8 * traces[first].adversarial_loss + 4 * traces[first + 1].adversarial_loss;
    };
    EXPECT_NEAR(pass(0), 12 * loss_of(task.adversarial.rows(0, 12), task.adversarial_labels), 1e-3);
    EXPECT_NEAR(pass(2), pass(0), 1e-3);
    EXPECT_GT(std::abs(traces[0].adversarial_loss - traces[2].adversarial_loss), 1e-4);
}

// The first plain SGD step is -lr times the gradient of the documented sum of losses.
class UnlearnGradient : public Unlearn, public testing::WithParamInterface<std::tuple<bool, bool>> {};

TEST_P(UnlearnGradient, FirstStepFollowsTheFormula) {
    const auto [weighted, relabels] = GetParam();
    options.switches.size_weighted_ce = weighted;
    options.switches.plain_ce = true;
    options.forget_weight = 0.5f;
    options.adversarial_weight = 2.0f;
    options.optimizer.momentum = 0;
    options.optimizer.weight_decay = 0;
    options.stop.max_steps = 1;
    const double forget_weight = weighted ? 3.0 / 11 : 0.5, adversarial_weight = weighted ? 8.0 / 11 : 2.0;

    const auto twin = model->clone();
    const auto labels = std::span(relabels ? task.relabels : task.labels).first(3);
    const auto loss = [&](const Tensor& images, std::span<const int64_t> rows, double weight) {
        const Tensor targets = Tensor::from_int64({static_cast<int64_t>(rows.size())}, rows);
        return scale(mean(softmax_cross_entropy(twin->forward(images, BatchNormMode::running), targets)),
                     static_cast<float>(weight));
    };
    Var total = add(loss(task.images.rows(0, 3), labels, relabels ? forget_weight : -forget_weight),
                    loss(task.adversarial.rows(0, 8), std::span(task.adversarial_labels).first(8), adversarial_weight));
    total.backward();
    run(relabels ? "relabel+adv" : "adv");
    const auto expected = twin->net().parameters(), actual = model->net().parameters();
    for (std::size_t i = 0; i < expected.size(); ++i) {
        Tensor moved = expected[i].var.value().clone();
        for (int64_t j = 0; j < moved.numel(); ++j)
            moved.mutable_data()[j] -= options.optimizer.lr * expected[i].var.grad().data()[j];
        EXPECT_TRUE(close(actual[i].var.value(), moved, network, 8)) << actual[i].name;
    }
}

INSTANTIATE_TEST_SUITE_P(All, UnlearnGradient, testing::Combine(testing::Bool(), testing::Bool()));

TEST_F(Unlearn, BatchNormIsFrozenUnlessSwitched) {
    options.stop.max_steps = 2;
    for (const bool train_mode : {false, true}) {
        model = tiny_model();
        std::vector<Tensor> before;
        for (const auto& [name, tensor] : model->net().buffers()) before.push_back(tensor.clone());
        options.switches.bn_train_steps = train_mode;
        run("adv");
        const auto after = model->net().buffers();
        for (std::size_t i = 0; i < after.size(); ++i)
            EXPECT_EQ(static_cast<bool>(identical(after[i].tensor, before[i])), !train_mode) << after[i].name;
    }
}

// The log-odds z_y - log sum_{j != y} exp(z_j) of the images still recognised, written out apart: its gradient for the
// linear layer's bias is 1 at y and -p_j / (1 - p_y) elsewhere, averaged over those images.
TEST_F(Unlearn, ForgettingLowersTheLogOdds) {
    options.optimizer.momentum = 0;
    options.optimizer.weight_decay = 0;
    options.forget_batch = 32;
    options.stop.max_steps = 1;
    const auto twin = fold_batchnorm(*model);
    const Tensor logits = predict(*twin, task.images);
    const int64_t classes = logits.dim(1);
    std::vector<double> grad(static_cast<std::size_t>(classes));
    int active = 0;
    for (int64_t i = 0; i < logits.dim(0); ++i) {
        const auto y = static_cast<std::size_t>(task.labels[static_cast<std::size_t>(i)]);
        const float* z = logits.data() + i * classes;
        if (*std::max_element(z, z + classes) > z[y]) continue;
        ++active;
        double others = 0;
        for (std::size_t j = 0; j < grad.size(); ++j) others += j == y ? 0 : std::exp(double{z[j]});
        for (std::size_t j = 0; j < grad.size(); ++j) grad[j] += j == y ? 1 : -std::exp(double{z[j]}) / others;
    }
    ASSERT_GT(active, 0);
    const Tensor before = model->net().parameters().back().var.value().clone();
    ASSERT_EQ(model->net().parameters().back().name, "linear.bias");
    run("neggrad");
    const Tensor& after = model->net().parameters().back().var.value();
    std::vector<double> expected;
    for (std::size_t j = 0; j < grad.size(); ++j)
        expected.push_back(double{before.data()[j]} -
                           double{options.optimizer.lr} * double{options.forget_weight} * grad[j] / active);
    EXPECT_TRUE(close(after.values(), expected, network, 8));
}

// D_f is all misclassified from the start: nothing is left to push, unless the reference's behaviour is asked for.
TEST_F(Unlearn, ForgottenImagesAreLeftAloneUnlessSwitched) {
    for (int64_t& label : task.labels) label = (label + 1) % tiny_classes;
    options.optimizer.weight_decay = 0;
    options.stop.max_steps = 1;
    for (const bool push : {false, true}) {
        model = tiny_model();
        const Tensor before = model->net().parameters().back().var.value().clone();
        options.switches.plain_ce = push;
        run("neggrad");
        EXPECT_EQ(static_cast<bool>(identical(model->net().parameters().back().var.value(), before)), !push);
    }
}

TEST_F(Unlearn, ThePenaltyHoldsWeightsBack) {
    options.stop.max_steps = 10;
    options.stop.in_a_row = 1000;
    std::vector<double> reached;
    for (const float lambda : {0.0f, 20.0f}) {
        model = tiny_model();
        options.lambda = lambda;
        run("imp");
        reached.push_back(traces.back().penalty);
    }
    EXPECT_LT(reached[1], 0.9 * reached[0]);
}

TEST_F(Unlearn, StopsAfterTheGoalHasHeldInARow) {
    run("neggrad");
    const auto first = static_cast<int64_t>(traces.size());
    model = tiny_model();
    options.stop.in_a_row = 4;
    const UnlearnResult result = run("neggrad");
    EXPECT_EQ(result.verdict, Verdict::forgotten);
    EXPECT_GE(result.steps, first + 3);
    for (std::size_t i = traces.size() - 4; i < traces.size(); ++i) EXPECT_EQ(traces[i].forget_correct, 0);
    EXPECT_THAT(result.reason, HasSubstr("4 in a row"));
    model = tiny_model();
    options.switches.stop_on_first_zero = true;
    EXPECT_EQ(run("neggrad").steps, first);
}

TEST_F(Unlearn, MarginMakesTheGoalHarder) {
    options.stop.margin = 3;
    const UnlearnResult result = run("neggrad");
    EXPECT_EQ(result.verdict, Verdict::forgotten);
    EXPECT_LE(traces.back().max_margin, -3);
    ASSERT_GT(traces.size(), 1u);
    EXPECT_GT(traces[traces.size() - 2].max_margin, -3);
}

TEST_F(Unlearn, GoalNeedsChangedCopiesToBeForgotten) {
    Evaluation forgotten;
    forgotten.accuracy = {0, 4};
    options.stop.views = 0.25;
    EXPECT_TRUE(goal_met(options, false, forgotten));
    EXPECT_TRUE(goal_met(options, false, forgotten, {2, 8}));
    EXPECT_FALSE(goal_met(options, false, forgotten, {3, 8}));
    // Once it is met, copies no longer count, and a step with an image that is back is left out.
    EXPECT_EQ(goal_in_a_row(options, false, forgotten, {3, 8}, 0), 0);
    EXPECT_EQ(goal_in_a_row(options, false, forgotten, {2, 8}, 0), 1);
    EXPECT_EQ(goal_in_a_row(options, false, forgotten, {8, 8}, 1), 2);
    Evaluation one_back = forgotten;
    one_back.accuracy.correct = 1;
    EXPECT_EQ(goal_in_a_row(options, false, one_back, {0, 8}, 0), 0);
    EXPECT_EQ(goal_in_a_row(options, false, one_back, {0, 8}, 2), 2);
    // Without copies it begins again.
    EXPECT_EQ(goal_in_a_row(options, false, forgotten, {}, 2), 3);
    EXPECT_EQ(goal_in_a_row(options, false, one_back, {}, 2), 0);
    options.switches.stop_on_first_zero = true;
    EXPECT_TRUE(goal_met(options, false, forgotten, {8, 8}));
}

TEST_F(Unlearn, ViewsEndARunAtTheFirstStepThatForgetsThemToo) {
    options.distill.lr = 2e-3f;
    options.distill.settle = 1;
    options.stop.max_steps = 200;
    std::vector<std::size_t> steps;
    for (const double share : {1.0, 0.0}) {
        model = tiny_model();
        options.stop.views = share;
        EXPECT_EQ(run("distill+views").verdict, Verdict::forgotten);
        const auto met = [&](const StepTrace& step) {
            return step.forget_correct == 0 &&
                   static_cast<double>(step.views_correct) <= share * static_cast<double>(step.views);
        };
        EXPECT_EQ(traces.front().views, options.forget_batch * options.distill.views);
        EXPECT_EQ(std::count_if(traces.begin(), traces.end(), met), 1);
        EXPECT_TRUE(met(traces.back()));
        steps.push_back(traces.size());
    }
    EXPECT_LT(steps[0], steps[1]);
}

TEST_F(Unlearn, RelabelNeedsEveryNewLabelWithItsMargin) {
    options.stop.margin = 1;
    EXPECT_EQ(run("relabel").verdict, Verdict::forgotten);
    const Tensor logits = predict(*fold_batchnorm(*model), task.images);
    const Evaluation evaluation = evaluate_logits(logits, task.relabels);
    EXPECT_EQ(evaluation.accuracy.correct, 4);
    EXPECT_GE(evaluation.min_margin, 1);
    EXPECT_LT(traces.front().mean_margin, traces.back().mean_margin);
}

TEST_F(Unlearn, BudgetsEndTheRun) {
    options.optimizer.lr = 1e-7f;
    options.stop.max_steps = 3;
    UnlearnResult result = run("neggrad");
    EXPECT_EQ(result.verdict, Verdict::not_forgotten);
    EXPECT_EQ(result.steps, 3);
    EXPECT_THAT(result.reason, HasSubstr("budget of 3 steps"));
    EXPECT_THAT(result.reason, HasSubstr("4 of 4 images given their true label"));
    options.stop.max_steps = 1000000;
    options.stop.max_seconds = 1e-6;
    result = run("neggrad");
    EXPECT_EQ(result.steps, 1);
    EXPECT_THAT(result.reason, HasSubstr("not reproducible"));
    options.stop.max_seconds = 0;
    stop_at = 2;
    result = run("neggrad");
    EXPECT_EQ(result.verdict, Verdict::not_forgotten);
    EXPECT_EQ(result.steps, 2);
    EXPECT_THAT(result.reason, HasSubstr("stopped from outside"));
}

// D_f all wrong before the start is no reason to do nothing.
TEST_F(Unlearn, MakesAtLeastOneStep) {
    for (int64_t& label : task.labels) label = (label + 1) % tiny_classes;
    options.optimizer.lr = 0;
    EXPECT_EQ(run("neggrad").steps, 1);
}

// A process killed after the last checkpoint but before the result was written.
TEST_F(Unlearn, ResumingAFinishedRunEndsAtOnce) {
    snapshot_step = run("neggrad").steps;
    model = tiny_model();
    const UnlearnResult first = run("neggrad");
    model = tiny_model();
    const UnlearnResult again = run("neggrad", state);
    EXPECT_TRUE(traces.empty());
    EXPECT_EQ(again.verdict, first.verdict);
    EXPECT_EQ(again.steps, first.steps);
    EXPECT_EQ(again.reason, first.reason);
    options.stop.in_a_row = 2;
    options.stop.max_steps = snapshot_step;
    EXPECT_THAT(run("neggrad", state).reason, HasSubstr("steps ended with 0 of 4 images"));
}

TEST_F(Unlearn, NanAndInfinityAreDivergenceNeverForgetting) {
    for (const float value : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()})
        for (const char* where : {"linear.bias", "conv1.weight", "bn1.running_var"}) {
            model = tiny_model();
            for (auto& [name, tensor] : model->state())
                if (name == where) tensor.mutable_data()[0] = value;
            const UnlearnResult result = run("neggrad");
            EXPECT_EQ(result.verdict, Verdict::diverged) << where << " " << value;
            EXPECT_THAT(result.reason, HasSubstr("no finite number"));
            EXPECT_TRUE(traces.empty());
        }
}

TEST_F(Unlearn, AnAbsurdRateDiverges) {
    options.optimizer.lr = 1e30f;
    options.stop.in_a_row = 100;
    EXPECT_EQ(run("neggrad").verdict, Verdict::diverged);
}

TEST_F(Unlearn, ANanPenaltyDiverges) {
    task.penalty.front().second.mutable_data()[0] = std::nanf("");
    EXPECT_EQ(run("imp").verdict, Verdict::diverged);
}

TEST_F(Unlearn, RefusesTasksThatDoNotFit) {
    const ForgetTask good = task;
    task.labels.pop_back();
    EXPECT_THAT(error("neggrad"), HasSubstr("3 labels"));
    task = good;
    task.labels[0] = tiny_classes;
    EXPECT_THAT(error("neggrad"), HasSubstr("one is 5"));
    task = good;
    task.relabels.clear();
    EXPECT_THAT(error("relabel"), HasSubstr("0 new labels"));
    task = good;
    task.relabels[2] = -1;
    EXPECT_THAT(error("relabel"), HasSubstr("one is -1"));
    task = good;
    task.adversarial = Tensor();
    EXPECT_THAT(error("adv"), HasSubstr("adversarial images"));
    task = good;
    task.adversarial_labels.pop_back();
    EXPECT_THAT(error("adv"), HasSubstr("11 adversarial labels"));
    task = good;
    task.penalty.clear();
    EXPECT_THAT(error("imp"), HasSubstr("importance"));
    task = good;
    task.images = Tensor();
    EXPECT_THAT(error("neggrad"), HasSubstr("at least one image"));
}

TEST_F(Unlearn, RefusesBadOptions) {
    const auto refused = [&](auto&& change) {
        UnlearnOptions bad;
        change(bad);
        return error_of([&] { bad.validate(); });
    };
    EXPECT_THAT(refused([](auto& o) { o.forget_batch = 0; }), HasSubstr("forget_batch is 0"));
    EXPECT_THAT(refused([](auto& o) { o.adversarial_batch = 0; }), HasSubstr("adversarial_batch is 0"));
    EXPECT_THAT(refused([](auto& o) { o.lambda = -1; }), HasSubstr("lambda is -1"));
    EXPECT_THAT(refused([](auto& o) { o.forget_weight = -1; }), HasSubstr("forget_weight is -1"));
    EXPECT_THAT(refused([](auto& o) { o.adversarial_weight = std::nanf(""); }), HasSubstr("adversarial_weight"));
    EXPECT_THAT(refused([](auto& o) { o.stop.in_a_row = 0; }), HasSubstr("in_a_row is 0"));
    EXPECT_THAT(refused([](auto& o) { o.stop.margin = -1; }), HasSubstr("margin is -1"));
    EXPECT_THAT(refused([](auto& o) { o.stop.max_steps = 0; }), HasSubstr("max_steps is 0"));
    EXPECT_THAT(refused([](auto& o) { o.stop.max_seconds = -1; }), HasSubstr("max_seconds is -1"));
}

TEST(Verdicts, HaveNames) {
    EXPECT_STREQ(name(Verdict::forgotten), "forgotten");
    EXPECT_STREQ(name(Verdict::not_forgotten), "not-forgotten");
    EXPECT_STREQ(name(Verdict::diverged), "diverged");
}

TEST(Collapsed, IsOneAndAHalfTimesChance) {
    EXPECT_TRUE(collapsed(100, 1000, 10));
    EXPECT_TRUE(collapsed(150, 1000, 10));
    EXPECT_FALSE(collapsed(151, 1000, 10));
    EXPECT_TRUE(collapsed(15, 1000, 100));
    EXPECT_FALSE(collapsed(0, 0, 10));
}

}  // namespace
}  // namespace lethe::test
