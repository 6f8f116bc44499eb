#include "cuda/emulation/guarded.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <new>

#include "tensor/error.h"

namespace lethe::emulation {

namespace {

// What redzones hold: a NaN as float and as bfloat16, and not a value that kernels write by themselves.
constexpr auto pattern = [] {
    std::array<unsigned char, GuardedBuffer::redzone> bytes{};
    for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = i % 2 == 0 ? 0xa5 : 0x7f;
    return bytes;
}();

constexpr std::align_val_t alignment{256};

}  // namespace

void GuardedBuffer::Free::operator()(unsigned char* memory) const { operator delete(memory, alignment); }

GuardedBuffer::GuardedBuffer(std::size_t size)
    : memory_(static_cast<unsigned char*>(operator new(size + 2 * redzone, alignment))), size_(size) {
    restore();
    poison();
}

void GuardedBuffer::poison() { std::memset(data(), 0xff, size_); }

bool GuardedBuffer::contains(const void* from, std::size_t bytes) const {
    const auto begin = reinterpret_cast<std::uintptr_t>(data()), at = reinterpret_cast<std::uintptr_t>(from);
    return at >= begin && at - begin <= size_ && bytes <= size_ - (at - begin);
}

void GuardedBuffer::restore() {
    std::memcpy(memory_.get(), pattern.data(), redzone);
    std::memcpy(memory_.get() + redzone + size_, pattern.data(), redzone);
}

bool GuardedBuffer::intact() const {
    return std::memcmp(memory_.get(), pattern.data(), redzone) == 0 &&
           std::memcmp(memory_.get() + redzone + size_, pattern.data(), redzone) == 0;
}

void GuardedBuffer::report(const std::string& who, const std::string& what) {
    const unsigned char *before = memory_.get(), *after = before + redzone + size_;
    std::ptrdiff_t offset;  // of the damage nearest to the buffer
    if (std::memcmp(before, pattern.data(), redzone) != 0) {
        std::size_t i = redzone - 1;
        while (before[i] == pattern[i]) --i;
        while (i > 0 && before[i - 1] != pattern[i - 1]) --i;
        offset = static_cast<std::ptrdiff_t>(i) - static_cast<std::ptrdiff_t>(redzone);
    } else {
        std::size_t i = 0;
        while (after[i] == pattern[i]) ++i;
        offset = static_cast<std::ptrdiff_t>(size_ + i);
    }
    restore();
    fail(who, " wrote outside ", what, " of ", size_, " bytes, at offset ", offset);
}

}  // namespace lethe::emulation
