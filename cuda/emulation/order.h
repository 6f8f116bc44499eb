// The order in which blocks, warps and threads run between barriers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace lethe::emulation {

// 0: natural order. Any other seed: random orders, the same ones after every set_seed(seed). The default is what the
// environment variable LETHE_EMULATION_SEED says, otherwise 0.
void set_seed(std::uint64_t seed);
std::uint64_t seed();

// Uniform in [0, n), from the current seed; n > 0.
std::size_t random_below(std::size_t n);

// Fisher and Yates; leaves `items` alone when the seed is 0.
template <class T>
void shuffle(std::vector<T>& items) {
    if (seed() == 0) return;
    for (std::size_t i = items.size(); i > 1; --i) std::swap(items[i - 1], items[random_below(i)]);
}

}  // namespace lethe::emulation
