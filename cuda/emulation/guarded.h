// Memory between two redzones, which tell whether somebody wrote outside it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace lethe::emulation {

// `size` bytes, 256-byte aligned, filled with ones: NaN in every floating-point type. Reading the redzones gives NaN,
// too.
class GuardedBuffer {
public:
    static constexpr std::size_t redzone = 256;

    GuardedBuffer() = default;
    explicit GuardedBuffer(std::size_t size);

    void* data() const { return memory_.get() == nullptr ? nullptr : memory_.get() + redzone; }
    std::size_t size() const { return size_; }
    void poison();

    // True for every range inside the buffer.
    bool contains(const void* from, std::size_t bytes) const;

    bool intact() const;  // nobody wrote to the redzones
    void restore();       // makes them intact
    // For a buffer that is not intact: restores it and throws Error, "`who` wrote outside `what` of N bytes, at offset
    // M".
    [[noreturn]] void report(const std::string& who, const std::string& what);

private:
    struct Free {
        void operator()(unsigned char* memory) const;
    };
    std::unique_ptr<unsigned char[], Free> memory_;
    std::size_t size_ = 0;
};

}  // namespace lethe::emulation
