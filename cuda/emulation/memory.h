// The emulated device's memory and pinned host memory: every block guarded by redzones.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>

#include "cuda/emulation/guarded.h"

namespace lethe::emulation {

class Memory {
public:
    Memory(const char* what, std::size_t capacity) : what_(what), capacity_(capacity) {}

    void* allocate(std::size_t bytes);  // null when the capacity is used up
    bool release(void* memory);         // false for anything but the start of a live block

    bool contains(const void* from, std::size_t bytes) const;  // the whole range in one block
    bool touches(const void* from) const;                      // the first byte in any block

    // Throws Error if a redzone of a live block was written to, which `who` is blamed for.
    void verify(const std::string& who);
    void restore();  // the redzones, without a word

    std::size_t capacity() const { return capacity_; }
    std::size_t used() const;

private:
    const GuardedBuffer* find(const void* address) const;

    const char* what_;
    std::size_t capacity_, used_ = 0;
    std::map<std::uintptr_t, GuardedBuffer> blocks_;  // by address
    mutable std::mutex mutex_;
};

Memory& device_memory();
Memory& pinned_memory();

}  // namespace lethe::emulation
