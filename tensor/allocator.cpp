#include "tensor/allocator.h"

#include <malloc.h>

#include <algorithm>
#include <cstdlib>
#include <limits>

#include "tensor/error.h"

namespace lethe {
namespace {

constexpr std::size_t alignment = 64;
constexpr std::size_t page = 4096;

void fill_with_nan(void* block, std::size_t bytes) {
    auto* values = static_cast<float*>(block);
    std::fill(values, values + bytes / sizeof(float), std::numeric_limits<float>::quiet_NaN());
}

}  // namespace

CachingAllocator& CachingAllocator::cpu() {
    // Never destroyed: tensors held by other static objects may outlive any order of destruction.
    static auto* allocator =
        new CachingAllocator({.allocate = [](std::size_t bytes) { return std::aligned_alloc(alignment, bytes); },
                              .release = [](void* block) { std::free(block); },
                              .poison = fill_with_nan});
    return *allocator;
}

CachingAllocator::~CachingAllocator() { trim(); }

std::size_t CachingAllocator::rounded(std::size_t bytes) const {
    const std::size_t step = bytes < page ? source_.small_step : source_.large_step;
    return std::max(source_.small_step, (bytes + step - 1) / step * step);
}

void* CachingAllocator::take(std::size_t size) {
    void* block = open_ != 0 ? pop(arenas_[open_][size], size) : nullptr;
    if (block != nullptr) return block;
    block = pop(free_[size], size);
    if (block == nullptr) block = from_source(size);
    if (open_ != 0)
        owner_[block] = open_;  // a cached block joins the arena: what ran before the recording has its memory
    return block;
}

void* CachingAllocator::pop(std::vector<void*>& bin, std::size_t size) {
    if (bin.empty()) return nullptr;
    void* block = bin.back();
    bin.pop_back();
    ++stats_.hits;
    stats_.cached_bytes -= size;
    return block;
}

void* CachingAllocator::from_source(std::size_t size) {
    void* block = source_.allocate(size);
    // Blocks cached in other sizes may be in the way. While a step is being recorded they stay: giving memory back
    // waits for the device, which a recording forbids.
    if (block == nullptr && open_ == 0) {
        release_cached();
        block = source_.allocate(size);
    }
    check(block != nullptr, "out of memory: cannot allocate ", size, " bytes");
    ++stats_.system_allocations;
    return block;
}

void* CachingAllocator::allocate(std::size_t bytes) {
    const std::size_t size = rounded(bytes);
    void* block = nullptr;
    bool poison = false;
    {
        const std::lock_guard lock(mutex_);
        block = take(size);
        poison = poison_;
        stats_.live_bytes += size;
        stats_.peak_bytes = std::max(stats_.peak_bytes, stats_.live_bytes);
    }
    if (poison) source_.poison(block, size);
    return block;
}

void CachingAllocator::release(void* block, std::size_t bytes) noexcept {
    if (block == nullptr) return;
    const std::size_t size = rounded(bytes);
    const std::lock_guard lock(mutex_);
    stats_.live_bytes -= size;
    stats_.cached_bytes += size;
    const auto owner = owner_.empty() ? owner_.end() : owner_.find(block);
    (owner == owner_.end() ? free_ : arenas_[owner->second])[size].push_back(block);
}

CachingAllocator::Arena CachingAllocator::begin_arena() {
    const std::lock_guard lock(mutex_);
    check(open_ == 0, "allocator: an arena is open already");
    return open_ = next_++;
}

void CachingAllocator::end_arena() noexcept {
    const std::lock_guard lock(mutex_);
    open_ = 0;
}

// Blocks still in use go back to the common cache when they are released.
void CachingAllocator::drop_arena(Arena arena) noexcept {
    const std::lock_guard lock(mutex_);
    std::erase_if(owner_, [&](const auto& entry) { return entry.second == arena; });
    const auto bins = arenas_.find(arena);
    if (bins == arenas_.end()) return;
    for (auto& [size, blocks] : bins->second) {
        std::vector<void*>& bin = free_[size];
        bin.insert(bin.end(), blocks.begin(), blocks.end());
    }
    arenas_.erase(bins);
}

void CachingAllocator::trim() noexcept {
    const std::lock_guard lock(mutex_);
    release_cached();
#if defined(__GLIBC__)
    ::malloc_trim(0);  // glibc keeps freed blocks of up to 32 MiB on its heap otherwise
#endif
}

void CachingAllocator::release_cached() noexcept {
    for (auto& [size, blocks] : free_) {
        for (void* block : blocks) source_.release(block);
        stats_.cached_bytes -= size * blocks.size();
        blocks.clear();
    }
}

CachingAllocator::Stats CachingAllocator::stats() const {
    const std::lock_guard lock(mutex_);
    return stats_;
}

void CachingAllocator::set_poison(bool on) {
    const std::lock_guard lock(mutex_);
    poison_ = on;
}

}  // namespace lethe
