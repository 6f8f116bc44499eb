#include "tests/support/compare.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <limits>
#include <vector>

namespace lethe::test {
namespace {

constexpr float nan = std::numeric_limits<float>::quiet_NaN();
constexpr float infinity = std::numeric_limits<float>::infinity();

std::string message(const testing::AssertionResult& result) { return result.message(); }

// elementwise: 1e-7 + 4 * 2^-23 * |ref| allows 5.77e-7 around 1.
TEST(Compare, AcceptsInsideAndRejectsOutside) {
    const std::vector<float> one{1.0f};
    EXPECT_TRUE(close(std::vector<float>{1.0f + 0x1p-21f}, one, elementwise));   // 4.8e-7
    EXPECT_FALSE(close(std::vector<float>{1.0f + 0x1p-20f}, one, elementwise));  // 9.5e-7
    EXPECT_TRUE(close(std::vector<float>{1.0f + 0x1p-20f}, one, elementwise, 4));
    EXPECT_TRUE(close(one, one, exact));
    EXPECT_FALSE(close(std::vector<float>{1.0f + 0x1p-23f}, one, exact));
    EXPECT_FALSE(close(std::vector<float>{1, 1}, one, elementwise));
}

TEST(Compare, NamesTheWorstIndex) {
    const std::vector<float> actual{1, 2.5f, 9, 4}, expected{1, 2, 3, 4};
    const std::string text = message(close(actual, expected, reduction));
    EXPECT_NE(text.find("2 of 4 values outside"), std::string::npos) << text;
    EXPECT_NE(text.find("worst at 2: 9, expected 3"), std::string::npos) << text;
}

TEST(Compare, NonFiniteFailsFirst) {
    const std::vector<float> zero{0};
    const Tolerance endless{1e30, 1e30};
    EXPECT_FALSE(close(std::vector<float>{nan}, zero, endless));
    EXPECT_FALSE(close(std::vector<float>{infinity}, zero, endless));
    EXPECT_FALSE(close(zero, std::vector<float>{nan}, endless));
    EXPECT_FALSE(close(std::vector<float>{nan}, std::vector<float>{nan}, endless));
    EXPECT_FALSE(close(zero, std::vector<float>{1}, Tolerance{1, std::nan("")}));
}

TEST(Compare, TensorsCompareInLogicalOrder) {
    const Tensor a = random_tensor({2, 3, 4, 5}, 1);
    EXPECT_TRUE(close(a, Tensor::from_nchw({2, 3, 4, 5}, a.to_nchw()), exact));
    EXPECT_FALSE(close(a, random_tensor({2, 3, 4, 5}, 2), network));
    EXPECT_FALSE(close(a, random_tensor({2, 3, 5, 4}, 1), network));
    EXPECT_TRUE(identical(a, a.clone()));
    Tensor changed = a.clone();
    changed.mutable_data()[7] = std::nextafter(changed.data()[7], 9.0f);
    EXPECT_NE(message(identical(changed, a)).find("differs first at 7"), std::string::npos);
    EXPECT_FALSE(identical(a, Tensor::from_int64({1}, std::vector<int64_t>{1})));
}

TEST(Compare, TemporaryFolderVanishes) {
    std::string path;
    {
        const TemporaryFolder folder;
        path = folder.path();
        EXPECT_TRUE(std::filesystem::is_directory(path));
        EXPECT_EQ(folder.path("x"), path + "/x");
    }
    EXPECT_FALSE(std::filesystem::exists(path));
}

}  // namespace
}  // namespace lethe::test
