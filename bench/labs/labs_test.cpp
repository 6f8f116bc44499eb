// The labs under emulation: every version of every lab is right, and one that is not is noticed.
#include <gmock/gmock.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <sstream>

#include "bench/labs/ceiling.h"
#include "bench/labs/check.h"
#include "bench/labs/run.h"
#include "bench/labs/timing.h"
#include "cuda/backend.h"
#include "cuda/emulation/order.h"

namespace LETHE_CUDA::labs {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr int number_of_labs = 7;

struct Outcome {
    int wrong;
    std::string text;
    nlohmann::json json;
};

Outcome run(RunOptions options) {
    const auto file = std::filesystem::path(testing::TempDir()) / concat("labs_test_", getpid(), ".json");
    options.json = file.string();
    std::ostringstream text;
    const int wrong = run_labs(options, text);
    std::ifstream in(file);
    Outcome outcome{wrong, text.str(), nlohmann::json::parse(in)};
    std::filesystem::remove(file);
    return outcome;
}

class LabsTest : public testing::TestWithParam<std::uint64_t> {
    void SetUp() override { emulation::set_seed(GetParam()); }
};

TEST_P(LabsTest, EveryVersionIsRight) {
    const Outcome outcome = run({});
    EXPECT_EQ(outcome.wrong, 0) << outcome.text;
    EXPECT_EQ(outcome.json["labs"].size(), number_of_labs);
    for (const auto& [name, lab] : outcome.json["labs"].items()) {
        EXPECT_GE(lab["versions"].size(), 3u) << name;
        for (const auto& [version, entry] : lab["versions"].items()) {
            EXPECT_TRUE(entry["right"].get<bool>()) << name << " " << version;
            EXPECT_GE(entry["checked"].size(), 4u) << name << " " << version;
            EXPECT_LE(entry["worst_error"].get<double>(), 1.0) << name << " " << version;
        }
        EXPECT_FALSE(lab.contains("sizes")) << "something was timed";
    }
}

INSTANTIATE_TEST_SUITE_P(Order, LabsTest, testing::Values(1, 2));

TEST(Labs, EveryLineSaysThatNothingWasTimed) {
    const Outcome outcome = run({.labs = {"elementwise"}});
    std::istringstream lines(outcome.text);
    int versions = 0;
    for (std::string line; std::getline(lines, line);)
        if (line.find(": v") != std::string::npos) {
            EXPECT_THAT(line, HasSubstr("emulated: correct, not timed: v"));
            ++versions;
        }
    EXPECT_EQ(versions, 4);
    EXPECT_THAT(outcome.text, Not(HasSubstr("GB/s")));
    EXPECT_TRUE(outcome.json["emulated"].get<bool>());
}

TEST(Labs, AWrongVersionIsNoticedInEveryLab) {
    const Outcome outcome = run({.broken = "v2"});
    EXPECT_EQ(outcome.wrong, number_of_labs);
    EXPECT_THAT(outcome.text, HasSubstr("v2 is WRONG at 1000 elements: element 500 of 1000 is "));
    for (const auto& [name, lab] : outcome.json["labs"].items())
        for (const auto& [version, entry] : lab["versions"].items())
            EXPECT_EQ(entry["right"].get<bool>(), version != "v2") << name << " " << version;
}

TEST(Labs, AnUnknownLabIsNamed) {
    std::ostringstream text;
    EXPECT_THROW(
        {
            try {
                run_labs({.labs = {"sgemm", "fft"}}, text);
            } catch (const Error& error) {
                EXPECT_STREQ(error.what(), "no lab is called fft; --list names them");
                throw;
            }
        },
        Error);
}

// Each element is `value`, as the sum of four terms.
Problem constant_problem(double value, double spread, std::int64_t size) {
    Problem problem;
    problem.terms = 4.0;
    problem.out = {unwritten({size})};
    problem.oracle = [=](std::int64_t) { return Expected{value, spread}; };
    return problem;
}

std::vector<float> results(std::size_t size, float value, std::size_t at, float other) {
    std::vector<float> all(size, value);
    all[at] = other;
    return all;
}

TEST(Checker, HoldsEachElementAgainstItsTolerance) {
    const Checker checker(constant_problem(3.0, 1.0, 5), 5);
    constexpr float tolerance = 8.0f * 2.0f * std::numeric_limits<float>::epsilon() * 3.0f;
    EXPECT_TRUE(checker.check(results(5, 3.0f, 4, 3.0f + 0.9f * tolerance), Bound::fp32).right);
    const Verdict wrong = checker.check(results(5, 3.0f, 4, 3.0f + 1.2f * tolerance), Bound::fp32);
    EXPECT_FALSE(wrong.right);
    EXPECT_THAT(wrong.problem, HasSubstr("element 4 of 5"));
    EXPECT_NEAR(wrong.share, 1.2, 0.1);
}

TEST(Checker, AllowsForTheSizeOfTheTermsNotOfTheirSum) {
    const std::vector<float> result(2, 1e-6f);
    EXPECT_TRUE(Checker(constant_problem(0.0, 1.0, 2), 2).check(result, Bound::fp32).right);
    EXPECT_FALSE(Checker(constant_problem(0.0, 0.0, 2), 2).check(result, Bound::fp32).right);
}

TEST(Checker, AllowsTf32ItsRounding) {
    const Checker checker(constant_problem(1.0, 1.0, 2), 2);
    EXPECT_FALSE(checker.check(std::vector<float>(2, 1.003f), Bound::fp32).right);
    EXPECT_TRUE(checker.check(std::vector<float>(2, 1.003f), Bound::tf32).right);
    EXPECT_FALSE(checker.check(std::vector<float>(2, 1.005f), Bound::tf32).right);
}

TEST(Checker, SeesWhatIsNotFiniteEvenOutsideItsSample) {
    const Checker checker(constant_problem(1.0, 1.0, 100), 2);
    EXPECT_TRUE(checker.check(std::vector<float>(100, 1.0f), Bound::memory).right);
    const float nan = std::numeric_limits<float>::quiet_NaN();
    EXPECT_THAT(checker.check(results(100, 1.0f, 57, nan), Bound::memory).problem, HasSubstr("element 57 of 100"));
    EXPECT_FALSE(checker.check(results(100, 1.0f, 99, 2.0f), Bound::memory).right) << "the last is always compared";
}

TEST(Checker, SeesAResultOfTheWrongSize) {
    const Checker checker(constant_problem(1.0, 1.0, 3), 3);
    EXPECT_EQ(checker.check(std::vector<float>(2, 1.0f), Bound::memory).problem, "2 elements, not 3");
}

TEST(Timing, TakesTheSetsInTurn) {
    const Bench bench;
    std::vector<int> turns(3);
    int before = 2;
    const Timing timing = measure(bench, 3, 3, [&](int set) {
        EXPECT_EQ(set, (before + 1) % 3);
        before = set;
        ++turns[static_cast<std::size_t>(set)];
    });
    EXPECT_GT(turns[2], 0);
    EXPECT_LE(turns[0] - turns[2], 1);
    EXPECT_GT(timing.median, 0.0);
    EXPECT_LE(timing.lower_quartile, timing.median);
    EXPECT_LE(timing.median, timing.upper_quartile);
}

TEST(Timing, SetsTogetherExceedTheCache) {
    cudaDeviceProp properties{};
    check_cuda(cudaGetDeviceProperties(&properties, 0), "cudaGetDeviceProperties");
    EXPECT_GE(sets_beyond_cache(1e5) * 1e5, 4.0 * properties.l2CacheSize);
    EXPECT_EQ(sets_beyond_cache(1e12), 2);
}

TEST(Ceiling, EachChainMakesItsRounds) {
    const Stream stream = make_stream();
    Tensor results = unwritten({fma_results(2)}).to(lab_device);
    fma(2, 8, out<float>(results), stream.get());
    // After n rounds chain j is 1 + (j - 1) / 2^n: the sum over 0..15 is 16 + 104 / 2^n.
    for (const float value : results.cpu().values()) EXPECT_EQ(value, 16.0f + 104.0f / 256.0f);
}

}  // namespace
}  // namespace LETHE_CUDA::labs
