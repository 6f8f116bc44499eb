#include "tensor/random.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <set>

#include "tests/support/compare.h"

namespace lethe::test {
namespace {

using Words = std::array<uint32_t, 4>;

// Known answers of philox4x32 with 10 rounds, distributed with Random123 (file kat_vectors).
TEST(Philox, KnownAnswers) {
    EXPECT_EQ(philox4x32({0, 0, 0, 0}, {0, 0}), (Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
    constexpr uint32_t ones = 0xffffffff;
    EXPECT_EQ(philox4x32({ones, ones, ones, ones}, {ones, ones}),
              (Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
    EXPECT_EQ(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
              (Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Random, AddressesWordsOfBlocks) {
    const Random random(0x123456789abcdef0, Purpose::init);
    const uint64_t item = 0xfedcba9876543210;
    EXPECT_EQ(random.block(item, 7), philox4x32({7, 0x76543210, 0xfedcba98, 3}, {0x9abcdef0, 0x12345678}));
    for (uint32_t i = 0; i < 16; ++i) EXPECT_EQ(random.bits(item, i), random.block(item, i / 4)[i % 4]);
}

TEST(Random, PurposesSeedsAndItemsDiffer) {
    std::set<uint32_t> seen;
    for (const Purpose purpose : {Purpose::select, Purpose::label, Purpose::synthetic})
        for (uint64_t seed = 0; seed < 4; ++seed)
            for (uint64_t item = 0; item < 4; ++item)
                for (uint32_t index = 0; index < 8; ++index) seen.insert(Random(seed, purpose).bits(item, index));
    EXPECT_EQ(seen.size(), 3u * 4 * 4 * 8);
}

// Standard errors with n = 200,000: mean of a uniform 0.00065, of a normal 0.0022, its variance 0.0032; bounds are five
// of them. The seed is fixed, so this never flickers.
TEST(Random, UniformMoments) {
    const Random random(5, Purpose::attack);
    const int n = 200'000;
    double sum = 0, squares = 0;
    for (int i = 0; i < n; ++i) {
        const double u =
            static_cast<double>(random.uniform(static_cast<uint64_t>(i / 100), static_cast<uint32_t>(i % 100)));
        ASSERT_TRUE(u >= 0 && u < 1);
        ASSERT_EQ(u * 0x1p24, std::floor(u * 0x1p24));
        sum += u;
        squares += u * u;
    }
    EXPECT_NEAR(sum / n, 0.5, 0.0033);
    EXPECT_NEAR(squares / n, 1.0 / 3, 0.0034);
}

TEST(Random, NormalMoments) {
    const Random random(6, Purpose::init);
    const int n = 200'000;
    double moments[5] = {}, neighbours = 0, previous = 0;
    int beyond_two = 0;
    for (int i = 0; i < n; ++i) {
        const double z = random.normal(0, static_cast<uint32_t>(i));
        ASSERT_TRUE(std::isfinite(z));
        for (int power = 1; power <= 4; ++power) moments[power] += std::pow(z, power) / n;
        beyond_two += std::abs(z) > 2;
        neighbours += z * previous / n;  // cosine and sine of one pair must not be correlated
        previous = z;
    }
    EXPECT_NEAR(moments[1], 0, 0.011);
    EXPECT_NEAR(moments[2], 1, 0.016);
    EXPECT_NEAR(moments[3], 0, 0.043);
    EXPECT_NEAR(moments[4], 3, 0.11);
    EXPECT_NEAR(beyond_two / static_cast<double>(n), 0.0455, 0.0024);
    EXPECT_NEAR(neighbours, 0, 0.011);
}

// r = sqrt(-2 ln u), angle = 2 pi v, of two neighbouring words u in (0,1] and v in [0,1).
TEST(Random, NormalIsBoxMuller) {
    const Random random(0, Purpose::select);
    const Words words = random.block(9, 0);
    const double radius = std::sqrt(-2 * std::log((words[2] + 1.0) / 4294967296.0));
    const double angle = 2 * 3.14159265358979323846 * words[3] / 4294967296.0;
    EXPECT_FLOAT_EQ(random.normal(9, 2), static_cast<float>(radius * std::cos(angle)));
    EXPECT_FLOAT_EQ(random.normal(9, 3), static_cast<float>(radius * std::sin(angle)));
}

TEST(Random, BelowCoversItsRangeEvenly) {
    const Random random(1, Purpose::label);
    std::map<int64_t, int> counts;
    for (uint32_t i = 0; i < 10'000; ++i) ++counts[random.below(10, 3, i)];
    ASSERT_EQ(counts.size(), 10u);
    EXPECT_EQ(counts.begin()->first, 0);
    EXPECT_EQ(counts.rbegin()->first, 9);
    for (const auto& [value, count] : counts) EXPECT_NEAR(count, 1000, 150) << value;  // five standard deviations
    EXPECT_EQ(random.below(1, 3, 0), 0);
    EXPECT_EQ(random.below(int64_t{1} << 32, 3, 5), random.bits(3, 5));
}

TEST(Random, BelowRejectsBadBounds) {
    const Random random(1, Purpose::label);
    EXPECT_EQ(error_of([&] { random.below(0, 0); }), "random: below() needs a bound from 1 to 2^32, got 0");
    EXPECT_THROW(random.below((int64_t{1} << 32) + 1, 0), Error);
    EXPECT_THROW(random.permutation(-1, 0), Error);
}

TEST(Random, PermutationIsOne) {
    const Random random(2, Purpose::shuffle);
    std::vector<int64_t> expected(1000);
    std::iota(expected.begin(), expected.end(), int64_t{0});
    std::vector<int64_t> order = random.permutation(1000, 0);
    EXPECT_NE(order, expected);
    EXPECT_EQ(order, random.permutation(1000, 0));
    EXPECT_NE(order, random.permutation(1000, 1));
    std::sort(order.begin(), order.end());
    EXPECT_EQ(order, expected);
    EXPECT_EQ(random.permutation(0, 0), std::vector<int64_t>{});
    EXPECT_EQ(random.permutation(1, 0), std::vector<int64_t>{0});
}

// All 24 orders of four things come equally often: 1000 each, standard deviation 31.
TEST(Random, PermutationsAreFair) {
    const Random random(3, Purpose::shuffle);
    std::map<std::vector<int64_t>, int> counts;
    for (uint64_t epoch = 0; epoch < 24'000; ++epoch) ++counts[random.permutation(4, epoch)];
    ASSERT_EQ(counts.size(), 24u);
    for (const auto& [order, count] : counts) EXPECT_NEAR(count, 1000, 155);
}

// torch 1.13: torch.manual_seed(seed); torch.randperm(n).
TEST(TorchRandperm, MatchesTorch) {
    EXPECT_EQ(torch_randperm(0, 10), (std::vector<int64_t>{4, 1, 7, 5, 3, 9, 0, 8, 6, 2}));
    EXPECT_EQ(torch_randperm(42, 10), (std::vector<int64_t>{2, 6, 1, 8, 4, 5, 0, 9, 3, 7}));
    std::vector<int64_t> cifar = torch_randperm(0, 50'000);
    const std::vector<int64_t> first{36044, 49165, 37807, 11341, 6091,  16904, 36293, 28026,
                                     24681, 17849, 49031, 20152, 23932, 33744, 8628,  3486};
    EXPECT_EQ(std::vector<int64_t>(cifar.begin(), cifar.begin() + 16), first);
    EXPECT_EQ(std::vector<int64_t>(cifar.end() - 4, cifar.end()), (std::vector<int64_t>{2642, 42128, 15898, 31476}));
    EXPECT_EQ(torch_randperm(4294967295, 12), (std::vector<int64_t>{3, 1, 8, 9, 2, 6, 10, 11, 0, 5, 7, 4}));
    std::sort(cifar.begin(), cifar.end());
    for (int64_t i = 0; i < 50'000; ++i) ASSERT_EQ(cifar[static_cast<std::size_t>(i)], i);
    EXPECT_EQ(torch_randperm(7, 0), std::vector<int64_t>{});
    EXPECT_EQ(torch_randperm(7, 1), std::vector<int64_t>{0});
}

TEST(TorchRandperm, RejectsBadLengths) {
    EXPECT_EQ(error_of([] { torch_randperm(0, -5); }),
              "random: torch_randperm() needs a length from 0 to 2^32 - 2, got -5");
    EXPECT_THROW(torch_randperm(0, int64_t{1} << 32), Error);
}

// NumPy 1.24: numpy.random.seed(seed); l = list(range(n)); numpy.random.shuffle(l).
TEST(Random, NumpyShuffle) {
    EXPECT_EQ(numpy_shuffle(0, 10), (std::vector<int64_t>{2, 8, 4, 9, 1, 6, 7, 3, 0, 5}));
    EXPECT_EQ(numpy_shuffle(1, 10), (std::vector<int64_t>{2, 9, 6, 4, 0, 3, 1, 7, 8, 5}));
    EXPECT_EQ(numpy_shuffle(7, 17), (std::vector<int64_t>{13, 11, 16, 8, 5, 2, 1, 0, 14, 10, 7, 12, 3, 6, 9, 4, 15}));
    EXPECT_EQ(numpy_shuffle(4294967295, 12), (std::vector<int64_t>{11, 8, 5, 9, 1, 10, 6, 0, 4, 7, 2, 3}));
    const std::vector<int64_t> utkface = numpy_shuffle(0, 23'708);
    EXPECT_EQ(std::vector<int64_t>(utkface.begin(), utkface.begin() + 4),
              (std::vector<int64_t>{15426, 14084, 22319, 19518}));
    int64_t weighted = 0;
    for (std::size_t i = 0; i < utkface.size(); ++i) weighted += static_cast<int64_t>(i) * utkface[i];
    EXPECT_EQ(weighted, 3'337'989'710'162);
    EXPECT_EQ(numpy_shuffle(3, 1), std::vector<int64_t>{0});
    EXPECT_EQ(numpy_shuffle(3, 0), std::vector<int64_t>{});
    EXPECT_THROW(numpy_shuffle(3, -1), Error);
}

}  // namespace
}  // namespace lethe::test
