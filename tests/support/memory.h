// How much memory something takes at its worst moment.
#pragma once

#include <cstdint>

namespace lethe::test {

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
