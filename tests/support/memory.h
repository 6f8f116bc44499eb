// How much memory something takes at its worst moment.
#pragma once

#include <cstdint>

namespace lethe::test {

inline constexpr int64_t mebibyte = 1 << 20;

// How many times the memory a sanitizer may take: red zones, quarantine and shadow memory.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr int64_t sanitizer_overhead = 8;
#else
inline constexpr int64_t sanitizer_overhead = 1;
#endif

// Memory of the process that is in the machine now, and the most since the last reset, in bytes (Linux).
int64_t resident_bytes();
int64_t peak_resident_bytes();
void reset_peak_resident_bytes();

// By how many bytes the process grew at most while `action` ran.
template <class Action>
int64_t peak_growth(Action&& action) {
    reset_peak_resident_bytes();
    const int64_t before = resident_bytes();
    action();
    return peak_resident_bytes() - before;
}

}  // namespace lethe::test
