// Expected values: SciPy 1.10.1 and NumPy, by the calls given beside them.
#include "unlearn/statistics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <vector>

#include "tests/support/compare.h"

namespace lethe::test {
namespace {

using testing::HasSubstr;

constexpr double precise = 1e-9;
const std::vector<double> x{84.3, 75.83, 84.31, 80.2, 79.05}, y{82.1, 75.9, 81.0, 78.4, 79.6};

void expect_interval(const std::optional<Interval>& interval, double low, double high) {
    ASSERT_TRUE(interval.has_value());
    EXPECT_NEAR(interval->low, low, precise);
    EXPECT_NEAR(interval->high, high, precise);
}

// x.mean(), x.std(ddof=1), stats.t.interval(0.95, 4, loc=x.mean(), scale=stats.sem(x))
TEST(Summary, IsThatOfSciPy) {
    const Summary summary = summarize(x);
    EXPECT_EQ(summary.n, 5);
    EXPECT_NEAR(summary.mean, 80.738, precise);
    EXPECT_NEAR(summary.deviation.value(), 3.6288524356881755, precise);
    expect_interval(summary.interval, 76.23218457581194, 85.24381542418806);
    EXPECT_EQ(summary.note, "");
    // stats.t.interval(0.95, 1, loc=2, scale=stats.sem([1, 3]))
    expect_interval(summarize(std::vector<double>{1, 3}).interval, -10.706204736432095, 14.706204736432095);
}

TEST(Summary, SaysWhatOneValueOrEqualOnesCannotTell) {
    const Summary one = summarize(std::vector<double>{84.3});
    EXPECT_EQ(one.mean, 84.3);
    EXPECT_FALSE(one.deviation || one.interval);
    EXPECT_THAT(one.note, HasSubstr("one value"));
    const Summary equal = summarize(std::vector<double>{0.1, 0.1, 0.1});
    EXPECT_EQ(equal.mean, 0.1);
    EXPECT_EQ(equal.deviation, 0.0);
    EXPECT_FALSE(equal.interval);
    EXPECT_THAT(equal.note, HasSubstr("equal"));
    EXPECT_EQ(summarize(std::vector<double>{0, 0}).deviation, 0.0);
}

TEST(Summary, RefusesWhatHasNone) {
    EXPECT_THAT(error_of([] { summarize({}); }), HasSubstr("no values"));
    EXPECT_THAT(error_of([] {
                    summarize(std::vector<double>{1, std::numeric_limits<double>::quiet_NaN()});
                }),
                HasSubstr("finite"));
    EXPECT_THAT(error_of([] { summarize(x, 1.0); }), HasSubstr("confidence"));
}

// d = x - y; stats.ttest_rel(x, y); stats.t.interval(0.95, 4, loc=d.mean(), scale=stats.sem(d))
TEST(PairedComparison, IsThatOfSciPy) {
    const PairedComparison comparison = compare_paired(x, y);
    EXPECT_NEAR(comparison.difference.mean, 1.338, precise);
    EXPECT_NEAR(comparison.difference.deviation.value(), 1.6118529709623037, precise);
    EXPECT_NEAR(comparison.t.value(), 1.856161205639325, precise);
    EXPECT_NEAR(comparison.p.value(), 0.13700810657408632, precise);
    expect_interval(comparison.difference.interval, -0.6633798044416741, 3.3393798044416734);
    const PairedComparison turned = compare_paired(y, x);
    EXPECT_NEAR(turned.t.value(), -1.856161205639325, precise);
    EXPECT_NEAR(turned.p.value(), 0.13700810657408632, precise);
}

TEST(PairedComparison, HasNoTestWithoutVariance) {
    EXPECT_FALSE(compare_paired(x, x).p);
    EXPECT_EQ(compare_paired(x, x).difference.mean, 0);
    // 0.1 apart each time, but for rounding: 84.3 - 84.2 and 75.9 - 75.8 differ in the last bits.
    const PairedComparison shifted = compare_paired(std::vector<double>{84.3, 75.9}, std::vector<double>{84.2, 75.8});
    EXPECT_FALSE(shifted.t || shifted.p || shifted.difference.interval);
    EXPECT_THAT(shifted.difference.note, HasSubstr("equal"));
    // +0.1 and -0.1, but for rounding: no difference, not one of 7e-15.
    EXPECT_EQ(compare_paired(std::vector<double>{84.3, 75.8}, std::vector<double>{84.2, 75.9}).difference.mean, 0);
    EXPECT_FALSE(compare_paired(std::vector<double>{1}, std::vector<double>{2}).p);
    EXPECT_THAT(error_of([] { compare_paired(x, std::vector<double>{1}); }), HasSubstr("5 and 1"));
}

// stats.binomtest(k, n).proportion_ci(0.95, 'wilson')
TEST(Wilson, IsThatOfSciPy) {
    expect_interval(wilson_interval(0, 10), 0, 0.27753279986288926);
    expect_interval(wilson_interval(3, 10), 0.10779126740630102, 0.6032218525388546);
    expect_interval(wilson_interval(10, 10), 0.7224672001371109, 1);
    expect_interval(wilson_interval(47, 50), 0.8378290831116182, 0.979385029651026);
    expect_interval(wilson_interval(9173, 10000), 0.9117401216863086, 0.9225393932735246);
    EXPECT_EQ(wilson_interval(0, 7).low, 0);
    EXPECT_EQ(wilson_interval(7, 7).high, 1);
    EXPECT_THAT(error_of([] { wilson_interval(3, 2); }), HasSubstr("3 of 2"));
    EXPECT_THAT(error_of([] { wilson_interval(0, 0); }), HasSubstr("0 of 0"));
}

// stats.binomtest(b, b + c, 0.5).pvalue
TEST(McNemar, IsThatOfSciPy) {
    EXPECT_EQ(mcnemar_exact(0, 0), 1);
    EXPECT_EQ(mcnemar_exact(8, 8), 1);
    EXPECT_NEAR(mcnemar_exact(1, 0), 1, precise);
    EXPECT_NEAR(mcnemar_exact(5, 15), 0.04138946533203125, precise);
    EXPECT_NEAR(mcnemar_exact(15, 5), 0.04138946533203125, precise);
    EXPECT_NEAR(mcnemar_exact(120, 171), 0.0033087986331269094, precise);
    EXPECT_NEAR(mcnemar_exact(0, 30) / 1.862645149230957e-09, 1, precise);
    EXPECT_THAT(error_of([] { mcnemar_exact(-1, 3); }), HasSubstr("-1"));
}

TEST(Resolution, IsOneImage) {
    EXPECT_EQ(resolution(1), 100);
    EXPECT_EQ(resolution(16), 6.25);
    EXPECT_THAT(error_of([] { resolution(0); }), HasSubstr("images"));
}

}  // namespace
}  // namespace lethe::test
