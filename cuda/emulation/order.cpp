#include "cuda/emulation/order.h"

#include <cstdlib>

#include "tensor/error.h"

namespace lethe::emulation {

namespace {

struct Order {
    std::uint64_t seed = 0;
    std::uint64_t state = 0;

    Order() {
        const char* text = std::getenv("LETHE_EMULATION_SEED");
        if (text == nullptr) return;
        char* end = nullptr;
        seed = state = std::strtoull(text, &end, 10);
        check(end != text && *end == 0, "LETHE_EMULATION_SEED is \"", text, "\"; expected a number");
    }
};

Order& order() {
    static Order instance;
    return instance;
}

}  // namespace

void set_seed(std::uint64_t seed) { order().seed = order().state = seed; }

std::uint64_t seed() { return order().seed; }

// The generator is splitmix64 (Steele, Lea and Flood, 2014).
std::size_t random_below(std::size_t n) {
    std::uint64_t z = order().state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (z ^ (z >> 31)) % n;
}

}  // namespace lethe::emulation
