// What an audit compares, and the stop rule on traces.
#include "unlearn/audit_trace.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "unlearn/audit_compare.h"
#include "unlearn/image_set.h"

namespace lethe::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// The comparison itself.

TEST(AuditCompare, CountsAreExactAndLossesWithinTheTolerance) {
    const auto findings = [](const Json& claimed, const Json& recomputed, double tolerance) {
        std::vector<std::string> list;
        compare_json(claimed, recomputed, "f", tolerance, list);
        return list;
    };
    EXPECT_THAT(findings({{"loss", 2.00019}, {"correct", 3}}, {{"loss", 2.0}, {"correct", 3}}, 1e-4), IsEmpty());
    EXPECT_THAT(findings({{"loss", 2.00021}}, {{"loss", 2.0}}, 1e-4), ElementsAre(HasSubstr("f: loss is 2.00021")));
    EXPECT_THAT(findings({{"loss", 2.00019}}, {{"loss", 2.0}}, 0), ElementsAre(HasSubstr("recomputed it is 2.0")));
    EXPECT_THAT(findings({{"accuracy", 50.001}}, {{"accuracy", 50.0}}, 1e-4), ElementsAre(HasSubstr("accuracy")));
    EXPECT_THAT(findings({{"correct", 4}}, {{"correct", 3}}, 1), ElementsAre("f: correct is 4; recomputed it is 3"));
    EXPECT_THAT(findings({{"finite", 1}}, {{"finite", true}}, 0), ElementsAre(HasSubstr("finite")));
    EXPECT_THAT(findings({{"loss", nullptr}}, {{"loss", std::nan("")}}, 0), IsEmpty());
    EXPECT_THAT(findings({{"loss", 1.0}}, {{"loss", std::nan("")}}, 1e-4), ElementsAre(HasSubstr("null")));
    EXPECT_THAT(findings({{"a", 1}}, {{"b", 1}}, 0), ElementsAre(HasSubstr("b is missing"), HasSubstr("a is 1")));
    EXPECT_THAT(findings({1, 2, 3}, {1, 2}, 0), ElementsAre("f is a list of 3; recomputed it is a list of 2"));
    EXPECT_EQ(findings({1, 1, 1, 1, 1, 1, 1}, {2, 2, 2, 2, 2, 2, 2}, 0).back(), "and 3 more differences");
}

// The stop rule on traces of two images, worked out by hand.

class TraceAudit : public testing::Test {
protected:
    // Of two images.
    static std::string set_of(int64_t count) { return image_set({count > 0, count > 1}); }
    // Steps with so many images still recognised; the largest margin is -1 where none is.
    static std::vector<StepTrace> trace_of(const std::vector<int64_t>& correct) {
        std::vector<StepTrace> trace;
        for (const int64_t count : correct)
            trace.push_back({.step = static_cast<int64_t>(trace.size()) + 1,
                             .forget_correct = count,
                             .mean_margin = 0,
                             .max_margin = count > 0 ? 1.0 : -1.0,
                             .recognised = set_of(count),
                             .seconds = static_cast<double>(trace.size())});
        return trace;
    }
    Ending end_of(const std::vector<StepTrace>& trace) {
        claim.steps = static_cast<int64_t>(trace.size());
        claim.seconds = 100;
        Evaluation goal;
        goal.accuracy = {trace.empty() ? 2 : trace.back().forget_correct, 2};
        goal.max_margin = trace.empty() ? 1 : trace.back().max_margin;
        findings.clear();
        return ending_of_trace(trace,
                               {.file = "t",
                                .claim = claim,
                                .options = options,
                                .in_a_row = options.stop.in_a_row,
                                .goal = goal,
                                .recognised = set_of(goal.accuracy.correct)},
                               in_a_row, findings);
    }
    UnlearnOptions options;
    MethodResult claim;
    std::vector<std::string> findings;
    int64_t in_a_row = 0;
};

TEST_F(TraceAudit, TheRuleEndsARunAndNothingElse) {
    options.stop = {.in_a_row = 2, .max_steps = 5};
    Ending end = end_of(trace_of({2, 0, 1, 0, 0}));
    EXPECT_THAT(findings, IsEmpty());
    EXPECT_EQ(end.verdict, Verdict::forgotten);
    EXPECT_EQ(end.reason, "the goal was met at step 5, 2 in a row, with 0 of 2 images given their true label");
    EXPECT_EQ(in_a_row, 2);

    end = end_of(trace_of({2, 0, 1, 0, 1}));
    EXPECT_THAT(findings, IsEmpty());
    EXPECT_EQ(end.verdict, Verdict::not_forgotten);
    EXPECT_EQ(end.reason, "the budget of 5 steps ended with 1 of 2 images given their true label");

    end_of(trace_of({2, 0, 0, 0}));
    EXPECT_THAT(findings, ElementsAre(HasSubstr("step 3 was the last")));
    end_of(trace_of({2, 1, 0}));
    EXPECT_THAT(findings, ElementsAre("t ends at step 3, where no stop rule ends a run"));
}

TEST_F(TraceAudit, TheMarginCounts) {
    options.stop = {.in_a_row = 1, .margin = 1.5, .max_steps = 3};
    EXPECT_EQ(end_of(trace_of({2, 0, 0})).verdict, Verdict::not_forgotten);  // wrong, but by 1 logit only
    EXPECT_THAT(findings, IsEmpty());
    options.stop.margin = 0.5;
    EXPECT_EQ(end_of(trace_of({2, 0})).verdict, Verdict::forgotten);
    EXPECT_THAT(findings, IsEmpty());
}

TEST_F(TraceAudit, ChangedCopiesCount) {
    options.stop = {.in_a_row = 1, .views = 0.25, .max_steps = 9};
    std::vector<StepTrace> trace = trace_of({2, 0, 0});
    for (StepTrace& step : trace) step.views = 8;
    trace[1].views_correct = 3;
    trace[2].views_correct = 2;
    EXPECT_EQ(end_of(trace).reason,
              "the goal was met at step 3, 1 in a row, with 0 of 2 images given their true label");
    EXPECT_THAT(findings, IsEmpty());
}

// Of three steps that grow shorter the second finds an image recognised again; only the last must not.
TEST_F(TraceAudit, StepsThatGrowShorterAreNotBegunAgain) {
    options.stop = {.in_a_row = 3, .views = 0.25, .max_steps = 9};
    std::vector<StepTrace> trace = trace_of({2, 0, 1, 0, 0});
    for (StepTrace& step : trace) {
        step.views = 8;
        step.views_correct = step.step == 2 ? 2 : 8;  // copies count in the first alone
    }
    const Ending end = end_of(trace);
    EXPECT_EQ(end.verdict, Verdict::forgotten);
    EXPECT_EQ(end.reason,
              "the goal was met at step 5, the last of 3 that grew shorter, with 0 of 2 images given their true label");
    EXPECT_THAT(findings, IsEmpty());
    EXPECT_EQ(in_a_row, 3);
}

TEST_F(TraceAudit, TheLastLineIsWhatTheWeightsDo) {
    options.stop = {.in_a_row = 1, .max_steps = 2};
    std::vector<StepTrace> trace = trace_of({2, 0});
    claim.steps = 2;
    claim.seconds = 100;
    Evaluation goal;
    goal.accuracy = {1, 2};
    goal.max_margin = 1;
    ending_of_trace(trace, {.file = "t", .claim = claim, .options = options, .goal = goal, .recognised = set_of(1)},
                    in_a_row, findings);
    EXPECT_THAT(findings, ElementsAre(HasSubstr("forget_correct is 0; recomputed it is 1"), HasSubstr("max_margin"),
                                      HasSubstr("recognised is \"0\"; recomputed it is \"8\""),
                                      HasSubstr("the saved weights do not meet it")));
}

TEST_F(TraceAudit, ALossThatIsNoNumberEndsARun) {
    options.stop = {.in_a_row = 1, .max_steps = 9};
    claim.verdict = Verdict::diverged;
    const Ending end = end_of(trace_of({2, 1}));
    EXPECT_THAT(findings, IsEmpty());
    EXPECT_EQ(end.reason, "a loss was no finite number at step 3");
}

}  // namespace
}  // namespace lethe::test
