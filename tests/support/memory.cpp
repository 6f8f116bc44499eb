#include "tests/support/memory.h"

#include <fstream>
#include <string>

#include "tensor/allocator.h"
#include "tensor/error.h"

namespace lethe::test {
namespace {

// A line such as "VmHWM:     1234 kB" of proc(5), in bytes.
int64_t status_bytes(const std::string& key) {
    std::ifstream status("/proc/self/status");
    for (std::string word; status >> word;) {
        int64_t kilobytes = 0;
        if (word == key && status >> kilobytes) return kilobytes * 1024;
    }
    fail("/proc/self/status has no ", key);
}

}  // namespace

int64_t resident_bytes() { return status_bytes("VmRSS:"); }

int64_t peak_resident_bytes() { return status_bytes("VmHWM:"); }

void reset_peak_resident_bytes() {
    CachingAllocator::cpu().trim();  // what was freed before must not hide growth
    std::ofstream("/proc/self/clear_refs") << 5;
}

}  // namespace lethe::test
