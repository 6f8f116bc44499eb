// Every method of the registry, on a tiny network: it forgets, resumes, ignores the thread count, allocates nothing.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "tensor/allocator.h"
#include "tensor/backend.h"
#include "tensor/parallel.h"
#include "tests/support/compare.h"
#include "tests/support/tiny.h"
#include "tests/support/tiny_task.h"
#include "unlearn/unlearn.h"

namespace lethe::test {
namespace {

using testing::HasSubstr;

class Methods : public testing::TestWithParam<Method> {
protected:
    void TearDown() override { set_threads(0); }

    std::unique_ptr<Model> model = tiny_model();
    ForgetTask task = tiny_task(*model);
};

std::string test_name(const testing::TestParamInfo<Method>& info) {
    std::string text = info.param.name;
    for (char& c : text)
        if (c == '+' || c == '-') c = '_';
    if (text.back() == '_') text += "plus";
    return text;
}

TEST_P(Methods, SaysWhatItIs) {
    const Method& method = GetParam();
    EXPECT_EQ(&find_method(method.name), &find_method(method.name));
    EXPECT_EQ(find_method(method.name).formula, method.formula);
    EXPECT_FALSE(method.formula.empty());
    EXPECT_TRUE(method.data == "D_f" || method.data == "D_f + D_r");
    EXPECT_EQ(method.needs_retained(), method.formula.find("_r") != std::string::npos);
    EXPECT_FALSE(method.source.empty());
}

TEST_P(Methods, ReachesItsGoal) {
    for (const char* protocol_name : {"recommended", "reference"}) {
        const auto own = model->clone();
        UnlearnOptions options = tiny_options();
        options.switches = protocol(protocol_name);
        std::vector<StepTrace> traces;
        const UnlearnResult result = unlearn(*own, GetParam(), task, options, [&](const StepTrace& trace, const auto&) {
            traces.push_back(trace);
            return true;
        });
        ASSERT_EQ(static_cast<int64_t>(traces.size()), result.steps);
        const bool relabels = GetParam().objective == Objective::relabel;
        const int64_t goal = relabels ? task.images.dim(0) : 0;
        if (GetParam().until == Until::goal) {
            EXPECT_EQ(result.verdict, Verdict::forgotten) << protocol_name << ": " << result.reason;
            EXPECT_EQ(traces.back().forget_correct, goal);
        } else {
            EXPECT_EQ(result.steps, GetParam().until == Until::budget ? options.compare.fixed_steps : 1);
            EXPECT_EQ(result.verdict == Verdict::forgotten, traces.back().forget_correct == goal) << result.reason;
        }
        EXPECT_EQ(traces.front().adversarial_loss > 0, GetParam().adversarial);
        if (GetParam().make == nullptr) {
            EXPECT_EQ(traces.back().distillation > 0, GetParam().distillation && traces.size() > 1);
            EXPECT_EQ(traces.back().retain_loss, 0);
        } else {
            EXPECT_EQ(traces.back().retain_loss > 0,
                      GetParam().needs_retained() && GetParam().until != Until::one_step);
        }
        EXPECT_EQ(traces.front().penalty, 0);
        EXPECT_EQ(traces.back().penalty > 0, GetParam().importance && traces.size() > 1);
        // The trace's count is the model's.
        const std::vector<int64_t> now = predictions(*own, task.images);
        int64_t counted = 0;
        for (std::size_t i = 0; i < now.size(); ++i)
            counted += now[i] == (relabels ? task.relabels[i] : task.labels[i]) ? 1 : 0;
        EXPECT_EQ(counted, traces.back().forget_correct);
    }
}

// Runs a fixed number of steps, whatever the goal; `at` receives the state after step `snapshot_step`.
StateDict weights_after(const Model& start, const Method& method, const ForgetTask& task, UnlearnOptions options,
                        UnlearnState* at = nullptr, int64_t snapshot_step = 0,
                        const std::optional<UnlearnState>& resume = {}) {
    options.stop.in_a_row = 1000;
    const auto model = start.clone();
    unlearn(
        *model, method, task, options,
        [&](const StepTrace& trace, const auto& snapshot) {
            if (at != nullptr && trace.step == snapshot_step) *at = snapshot();
            return true;
        },
        resume);
    return model->state();
}

void expect_identical(const StateDict& actual, const StateDict& expected) {
    ASSERT_EQ(actual.size(), expected.size());
    for (std::size_t i = 0; i < actual.size(); ++i)
        EXPECT_TRUE(identical(actual[i].second, expected[i].second)) << actual[i].first;
}

TEST_P(Methods, AResumedTwinEndsBitIdentical) {
    UnlearnOptions options = tiny_options();
    options.switches.bn_train_steps = true;
    options.shuffle = true;
    options.stop.max_steps = 9;
    options.compare.fixed_steps = 9;
    for (const int64_t at : {1, 4, 9}) {
        if (at > 1 && GetParam().until == Until::one_step) continue;
        UnlearnState state;
        const StateDict whole = weights_after(*model, GetParam(), task, options, &state, at);
        EXPECT_EQ(state.step, at);
        expect_identical(weights_after(*model, GetParam(), task, options, nullptr, 0, state), whole);
    }
}

TEST_P(Methods, DoesNotDependOnThreads) {
    UnlearnOptions options = tiny_options();
    options.stop.max_steps = 5;
    for (const bool train_mode : {false, true}) {
        options.switches.bn_train_steps = train_mode;
        set_threads(1);
        const StateDict one = weights_after(*model, GetParam(), task, options);
        set_threads(2);
        expect_identical(weights_after(*model, GetParam(), task, options), one);
    }
}

TEST_P(Methods, TheSecondHalfAllocatesNothing) {
    if (GetParam().until == Until::one_step) return;
    UnlearnOptions options = tiny_options();
    const int64_t half =
        GetParam().needs_retained() ? 20 : 6;  // more than a pass over D_r, with its smaller last batch
    options.stop.max_steps = options.compare.fixed_steps = 2 * half;
    options.optimizer.lr = 1e-4f;  // nothing diverges before that
    options.stop.in_a_row = 1000;
    set_threads(1);
    uint64_t allocations = 0, plans = 0;
    unlearn(*model, GetParam(), task, options, [&](const StepTrace& trace, const auto&) {
        if (trace.step == half) {
            allocations = CachingAllocator::cpu().stats().system_allocations;
            plans = plans_built();
        }
        return true;
    });
    EXPECT_EQ(CachingAllocator::cpu().stats().system_allocations, allocations);
    EXPECT_EQ(plans_built(), plans);
}

INSTANTIATE_TEST_SUITE_P(Registry, Methods, testing::ValuesIn(methods()), test_name);

TEST(Registry, HasTheArmsOfTheComparison) {
    std::vector<std::string> names;
    for (const Method& method : methods()) names.push_back(method.name);
    EXPECT_THAT(names, testing::IsSupersetOf({"neggrad",      "adv",         "imp",           "adv+imp",
                                              "relabel",      "relabel+adv", "relabel+imp",   "relabel+adv+imp",
                                              "distill",      "distill+imp", "distill+views", "distill+views+imp",
                                              "random-label", "salun",       "boundary",      "oracle",
                                              "neggrad+",     "finetune",    "salun+retain",  "bad-teacher",
                                              "scrub",        "eu-k",        "cf-k",          "ssd",
                                              "lfssd",        "fisher-noise"}));
    EXPECT_EQ(std::set<std::string>(names.begin(), names.end()).size(), names.size());
    EXPECT_THAT(error_of([] { find_method("scrubs"); }), HasSubstr("neggrad, adv"));
}

}  // namespace
}  // namespace lethe::test
