// Random numbers that are addressed, not drawn: the same bits on every device, in any order, for any thread count.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

namespace lethe {

// One stream per purpose, so that adding a draw in one place never changes another.
enum class Purpose : uint32_t {
    select = 1,
    label = 2,
    init = 3,
    shuffle = 4,
    augment = 5,
    attack = 6,
    synthetic = 7,
    validation = 9,
    dropout = 10,
    view = 11,
    fold = 12,
    proxy = 13,
    weak_view = 14,
    retain = 15,
    weight_noise = 16,
    inversion = 17,
    stock = 18,
    stock_augment = 19
};

// Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011): a keyed bijection of a
// 128-bit counter. Returns four 32-bit words.
std::array<uint32_t, 4> philox4x32(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key);

// A random function of (item, index): item might be an image's number, index a pixel's.
// Throws Error when a bound or a length is out of the range stated.
class Random {
public:
    Random(uint64_t seed, Purpose purpose) : seed_(seed), purpose_(purpose) {}

    uint64_t seed() const { return seed_; }
    Purpose purpose() const { return purpose_; }

    // Four words of 32 random bits for block `block` of item `item`. Every function below is built on this one:
    // index i uses word i % 4 of block i / 4.
    std::array<uint32_t, 4> block(uint64_t item, uint32_t block) const;
    uint32_t bits(uint64_t item, uint32_t index = 0) const;

    float uniform(uint64_t item, uint32_t index = 0) const;                 // [0, 1), multiples of 2^-24
    int64_t below(int64_t bound, uint64_t item, uint32_t index = 0) const;  // [0, bound); bound from 1 to 2^32
    float normal(uint64_t item, uint32_t index = 0) const;                  // N(0,1) by Box-Muller, from two words

    // A permutation of 0..n-1 (Fisher-Yates), keyed by `item` (an epoch, say); n up to 2^32.
    std::vector<int64_t> permutation(int64_t n, uint64_t item) const;

private:
    uint64_t seed_;
    Purpose purpose_;
};

// What torch.manual_seed(seed); torch.randperm(n) returns on the CPU, for n < 2^32 - 1: mt19937 and a forward
// Fisher-Yates with `next % (n - i)`. Lets a forget set published as a PyTorch seed be named exactly.
std::vector<int64_t> torch_randperm(uint32_t seed, int64_t n);

// What 0..n-1 become by numpy.random.seed(seed); numpy.random.shuffle(list), for n <= 2^32: mt19937 and a backward
// Fisher-Yates, each index drawn by masking 32 bits and rejecting those above it. Lets a split published as NumPy code
// be made again.
std::vector<int64_t> numpy_shuffle(uint32_t seed, int64_t n);

}  // namespace lethe
