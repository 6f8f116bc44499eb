// The caching allocator behind every tensor.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <unordered_map>
#include <vector>

namespace lethe {

// Freed blocks are kept by size and handed out again, so a step that runs twice asks the system for memory once.
// Half of an eager framework's CPU inference time can be page faults of memory it returned too early.
// Blocks are 64-byte aligned (a cache line, an AVX-512 register). Thread-safe. Sizes are bytes. On a GPU, whose
// operations run later than they are asked for, a block may be handed out again at once because all of them are ordered
// by one stream: whoever gets it next also writes it later.
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

    // Where memory comes from. Sizes are rounded up to `small_step` below a page and to `large_step` from there on, so
    // that near-equal sizes share a bin.
    struct Source {
        std::function<void*(std::size_t bytes)> allocate;            // null when there is none left
        std::function<void(void* block)> release;                    // must not throw
        std::function<void(void* block, std::size_t bytes)> poison;  // fills with NaN
        std::size_t small_step = 64, large_step = 4096;
    };
    explicit CachingAllocator(Source source) : source_(std::move(source)) {}

    // At least `bytes` bytes, never null. Throws Error when the system has none left.
    void* allocate(std::size_t bytes);
    // Gives back what allocate(bytes) returned, with the same `bytes`.
    void release(void* block, std::size_t bytes) noexcept;

    // Returns all cached blocks to the system.
    void trim() noexcept;

    // Between begin_arena() and end_arena() every block handed out joins the arena, and goes back to it, also later,
    // until drop_arena(): a recorded step replays with the addresses it was recorded with, so nobody else may get them.
    // Arenas do not nest. Throws Error when one is open already.
    using Arena = uint64_t;
    Arena begin_arena();
    void end_arena() noexcept;
    void drop_arena(Arena arena) noexcept;

    Stats stats() const;

    // When on, every block handed out is filled with NaN, so a test sees a read of memory nobody wrote.
    void set_poison(bool on);

    ~CachingAllocator();

private:
    std::size_t rounded(std::size_t bytes) const;
    void* take(std::size_t size);  // from the open arena or the common cache, else from the source
    void* pop(std::vector<void*>& bin, std::size_t size);  // null when it is empty
    void* from_source(std::size_t size);
    void release_cached() noexcept;

    using Bins = std::map<std::size_t, std::vector<void*>>;
    Source source_;
    mutable std::mutex mutex_;
    Bins free_;
    std::unordered_map<Arena, Bins> arenas_;
    std::unordered_map<void*, Arena> owner_;  // of blocks that belong to an arena
    Arena open_ = 0, next_ = 1;               // 0: none
    Stats stats_;
    bool poison_ = false;
};

}  // namespace lethe
