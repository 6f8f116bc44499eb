#include "tensor/allocator.h"

#include <algorithm>
#include <cstdlib>
#include <limits>

#include "tensor/error.h"

namespace lethe {
namespace {

constexpr std::size_t alignment = 64;
constexpr std::size_t page = 4096;

}  // namespace

CachingAllocator& CachingAllocator::cpu() {
    // Never destroyed: tensors held by other static objects may outlive any order of destruction.
    static auto* allocator = new CachingAllocator;
    return *allocator;
}

CachingAllocator::~CachingAllocator() { trim(); }

// Small blocks round to a cache line, large ones to a page, so that near-equal sizes share a bin.
std::size_t CachingAllocator::rounded(std::size_t bytes) {
    const std::size_t step = bytes < page ? alignment : page;
    return std::max(alignment, (bytes + step - 1) / step * step);
}

void* CachingAllocator::allocate(std::size_t bytes) {
    const std::size_t size = rounded(bytes);
    void* block = nullptr;
    bool poison = false;
    {
        const std::lock_guard lock(mutex_);
        poison = poison_;
        auto bin = free_.find(size);
        if (bin != free_.end() && !bin->second.empty()) {
            block = bin->second.back();
            bin->second.pop_back();
            ++stats_.hits;
            stats_.cached_bytes -= size;
        } else {
            block = std::aligned_alloc(alignment, size);
            check(block != nullptr, "out of memory: cannot allocate ", size, " bytes");
            ++stats_.system_allocations;
            free_[size].reserve(16);
        }
        stats_.live_bytes += size;
        stats_.peak_bytes = std::max(stats_.peak_bytes, stats_.live_bytes);
    }
    if (poison) {
        auto* values = static_cast<float*>(block);
        std::fill(values, values + size / sizeof(float), std::numeric_limits<float>::quiet_NaN());
    }
    return block;
}

void CachingAllocator::release(void* block, std::size_t bytes) noexcept {
    if (block == nullptr) return;
    const std::size_t size = rounded(bytes);
    const std::lock_guard lock(mutex_);
    stats_.live_bytes -= size;
    stats_.cached_bytes += size;
    free_[size].push_back(block);
}

void CachingAllocator::trim() noexcept {
    const std::lock_guard lock(mutex_);
    for (auto& [size, blocks] : free_) {
        for (void* block : blocks) std::free(block);
        blocks.clear();
    }
    stats_.cached_bytes = 0;
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
