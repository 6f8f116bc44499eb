// A bounds-checked cursor over bytes that nobody has vouched for.
#pragma once

#include <bit>
#include <concepts>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

#include "tensor/error.h"

namespace lethe {

static_assert(std::endian::native == std::endian::little, "weight files are little-endian and read without swapping");

// Every function throws Error when the bytes end too early.
class ByteReader {
public:
    explicit ByteReader(std::span<const uint8_t> bytes) : bytes_(bytes) {}

    uint64_t position() const { return position_; }
    uint64_t remaining() const { return bytes_.size() - position_; }

    std::span<const uint8_t> take(uint64_t count) {
        check(count <= remaining(), "truncated: ", count, " bytes are needed at byte ", position_, ", ", remaining(),
              " are left");
        const auto taken = bytes_.subspan(position_, count);
        position_ += count;
        return taken;
    }

    template <std::integral T>
    T little_endian() {
        T value;
        std::memcpy(&value, take(sizeof(T)).data(), sizeof(T));
        return value;
    }

    uint8_t u8() { return take(1)[0]; }

    std::string text(uint64_t count) {
        const auto taken = take(count);
        return {taken.begin(), taken.end()};
    }

    // Up to the next '\n', which is consumed and not returned.
    std::string line() {
        uint64_t length = 0;
        while (length < remaining() && bytes_[position_ + length] != '\n') ++length;
        check(length < remaining(), "truncated: a line at byte ", position_, " has no end");
        std::string result = text(length);
        ++position_;
        return result;
    }

private:
    std::span<const uint8_t> bytes_;
    uint64_t position_ = 0;
};

// Text of a file as it may be shown on a terminal: control and non-ASCII bytes become '?', and it is never long.
inline std::string printable(std::string_view text) {
    constexpr std::size_t limit = 120;
    std::string shown(text.substr(0, limit));
    for (char& c : shown)
        if (c < ' ' || c > '~') c = '?';
    return text.size() > limit ? shown + "..." : shown;
}

}  // namespace lethe
