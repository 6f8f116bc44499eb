#include "cuda/emulation/memory.h"

namespace lethe::emulation {

namespace {

constexpr std::size_t gibibyte = std::size_t{1} << 30;

std::uintptr_t number(const void* address) { return reinterpret_cast<std::uintptr_t>(address); }

}  // namespace

// Never destroyed: other static objects may still free memory when the program ends.
Memory& device_memory() {
    static Memory& memory = *new Memory("a device buffer", 4 * gibibyte);
    return memory;
}

Memory& pinned_memory() {
    static Memory& memory = *new Memory("a pinned buffer", 4 * gibibyte);
    return memory;
}

void* Memory::allocate(std::size_t bytes) {
    const std::lock_guard lock(mutex_);
    if (bytes > capacity_ - used_) return nullptr;
    GuardedBuffer block(bytes);
    void* start = block.data();
    blocks_.emplace(number(start), std::move(block));
    used_ += bytes;
    return start;
}

bool Memory::release(void* memory) {
    const std::lock_guard lock(mutex_);
    const auto found = blocks_.find(number(memory));
    if (found == blocks_.end()) return false;
    const auto node = blocks_.extract(found);
    used_ -= node.mapped().size();
    if (!node.mapped().intact()) node.mapped().report("the CPU", what_);
    return true;
}

const GuardedBuffer* Memory::find(const void* address) const {
    const auto next = blocks_.upper_bound(number(address));
    return next == blocks_.begin() ? nullptr : &std::prev(next)->second;
}

bool Memory::contains(const void* from, std::size_t bytes) const {
    const std::lock_guard lock(mutex_);
    const GuardedBuffer* block = find(from);
    return block != nullptr && block->contains(from, bytes);
}

bool Memory::touches(const void* from) const { return contains(from, 1); }

void Memory::verify(const std::string& who) {
    const std::lock_guard lock(mutex_);
    for (auto& [address, block] : blocks_)
        if (!block.intact()) block.report(who, what_);
}

void Memory::restore() {
    const std::lock_guard lock(mutex_);
    for (auto& [address, block] : blocks_) block.restore();
}

std::size_t Memory::used() const {
    const std::lock_guard lock(mutex_);
    return used_;
}

}  // namespace lethe::emulation
