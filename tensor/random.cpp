#include "tensor/random.h"

#include <bit>
#include <cmath>
#include <numbers>
#include <numeric>
#include <random>

#include "tensor/error.h"

namespace lethe {
namespace {

// Multipliers and key increments of the paper's Philox4x32; the increments are the golden ratio and sqrt(3) - 1 in
// 32-bit fixed point.
constexpr uint32_t multiplier_0 = 0xD2511F53, multiplier_1 = 0xCD9E8D57;
constexpr uint32_t increment_0 = 0x9E3779B9, increment_1 = 0xBB67AE85;
constexpr int rounds = 10;

constexpr uint32_t low(uint64_t value) { return static_cast<uint32_t>(value); }
constexpr uint32_t high(uint64_t value) { return static_cast<uint32_t>(value >> 32); }

}  // namespace

std::array<uint32_t, 4> philox4x32(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key) {
    for (int round = 0; round < rounds; ++round) {
        const uint64_t product_0 = uint64_t{multiplier_0} * counter[0];
        const uint64_t product_1 = uint64_t{multiplier_1} * counter[2];
        counter = {high(product_1) ^ counter[1] ^ key[0], low(product_1), high(product_0) ^ counter[3] ^ key[1],
                   low(product_0)};
        key[0] += increment_0;
        key[1] += increment_1;
    }
    return counter;
}

std::array<uint32_t, 4> Random::block(uint64_t item, uint32_t block) const {
    return philox4x32({block, low(item), high(item), static_cast<uint32_t>(purpose_)}, {low(seed_), high(seed_)});
}

uint32_t Random::bits(uint64_t item, uint32_t index) const { return block(item, index / 4)[index % 4]; }

float Random::uniform(uint64_t item, uint32_t index) const {
    return static_cast<float>(bits(item, index) >> 8) * 0x1p-24f;
}

int64_t Random::below(int64_t bound, uint64_t item, uint32_t index) const {
    check(bound >= 1 && bound <= (int64_t{1} << 32), "random: below() needs a bound from 1 to 2^32, got ", bound);
    // The high half of a 32x32-bit product: no value is off its fair share by more than one part in 2^32 / bound.
    // Rejecting the surplus would be exactly fair, but then a draw could need words that belong to other indices.
    return static_cast<int64_t>((uint64_t{bits(item, index)} * static_cast<uint64_t>(bound)) >> 32);
}

float Random::normal(uint64_t item, uint32_t index) const {
    // Box and Muller (1958): words 2k and 2k+1 give the two independent values of indices 2k (cosine) and 2k+1 (sine).
    // In double, so that different maths libraries round to the same float but for the rarest ties.
    const std::array<uint32_t, 4> words = block(item, index / 4);
    const uint32_t pair = index % 4 & ~1u;
    const double radius = std::sqrt(-2.0 * std::log((words[pair] + 1.0) * 0x1p-32));  // (0, 1]: log never sees zero
    const double angle = 2.0 * std::numbers::pi * (words[pair + 1] * 0x1p-32);
    return static_cast<float>(radius * (index % 2 == 0 ? std::cos(angle) : std::sin(angle)));
}

std::vector<int64_t> Random::permutation(int64_t n, uint64_t item) const {
    check(n >= 0 && n <= (int64_t{1} << 32), "random: permutation() needs a length from 0 to 2^32, got ", n);
    std::vector<int64_t> order(static_cast<std::size_t>(n));
    std::iota(order.begin(), order.end(), int64_t{0});
    for (int64_t i = 0; i + 1 < n; ++i)
        std::swap(order[static_cast<std::size_t>(i)],
                  order[static_cast<std::size_t>(i + below(n - i, item, static_cast<uint32_t>(i)))]);
    return order;
}

std::vector<int64_t> torch_randperm(uint32_t seed, int64_t n) {
    check(n >= 0 && n < (int64_t{1} << 32) - 1, "random: torch_randperm() needs a length from 0 to 2^32 - 2, got ", n);
    std::vector<int64_t> order(static_cast<std::size_t>(n));
    std::iota(order.begin(), order.end(), int64_t{0});
    std::mt19937 engine(seed);  // its seeding and output are fixed by the C++ standard
    for (int64_t i = 0; i + 1 < n; ++i)
        std::swap(order[static_cast<std::size_t>(i)],
                  order[static_cast<std::size_t>(i + static_cast<int64_t>(engine()) % (n - i))]);
    return order;
}

std::vector<int64_t> numpy_shuffle(uint32_t seed, int64_t n) {
    check(n >= 0 && n <= int64_t{1} << 32, "random: numpy_shuffle() needs a length from 0 to 2^32, got ", n);
    std::vector<int64_t> order(static_cast<std::size_t>(n));
    std::iota(order.begin(), order.end(), int64_t{0});
    std::mt19937 engine(seed);
    for (int64_t i = n - 1; i > 0; --i) {
        const auto last = static_cast<uint32_t>(i), mask = ~uint32_t{0} >> std::countl_zero(last);
        uint32_t drawn = engine() & mask;
        while (drawn > last) drawn = engine() & mask;
        std::swap(order[static_cast<std::size_t>(i)], order[drawn]);
    }
    return order;
}

}  // namespace lethe
