// The caching allocator behind every tensor.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <vector>

namespace lethe {

// Freed blocks are kept by size and handed out again, so a step that runs twice asks the system for memory once.
// Half of an eager framework's CPU inference time can be page faults of memory it returned too early.
// Blocks are 64-byte aligned (a cache line, an AVX-512 register). Thread-safe. Sizes are bytes.
class CachingAllocator {
public:
    struct Stats {
        uint64_t system_allocations = 0;  // requests that went to the operating system
        uint64_t hits = 0;                // requests served from the cache
        uint64_t live_bytes = 0;          // handed out and not yet released
        uint64_t cached_bytes = 0;        // released and kept
        uint64_t peak_bytes = 0;          // largest live_bytes so far
    };

    static CachingAllocator& cpu();

    // At least `bytes` bytes, never null. Throws Error when the system has none left.
    void* allocate(std::size_t bytes);
    // Gives back what allocate(bytes) returned, with the same `bytes`.
    void release(void* block, std::size_t bytes) noexcept;

    // Returns all cached blocks to the system.
    void trim() noexcept;

    Stats stats() const;

    // When on, every block handed out is filled with NaN, so a test sees a read of memory nobody wrote.
    void set_poison(bool on);

    ~CachingAllocator();

private:
    static std::size_t rounded(std::size_t bytes);

    mutable std::mutex mutex_;
    std::map<std::size_t, std::vector<void*>> free_;
    Stats stats_;
    bool poison_ = false;
};

}  // namespace lethe
