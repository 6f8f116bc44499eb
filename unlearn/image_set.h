// Which images of D_f something holds for, as text for a trace: hexadecimal, four images to a digit, the first one in
// its highest bit. "8" is the first of up to four images alone, "ff8" the first nine of up to twelve.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "tensor/error.h"

namespace lethe {

inline std::string image_set(const std::vector<bool>& members) {
    std::string text((members.size() + 3) / 4, '0');
    for (std::size_t digit = 0; digit < text.size(); ++digit) {
        unsigned value = 0;
        for (std::size_t i = 4 * digit; i < 4 * digit + 4; ++i)
            value = 2 * value + (i < members.size() && members[i] ? 1 : 0);
        text[digit] = "0123456789abcdef"[value];
    }
    return text;
}

// Its inverse. Throws Error unless `text` is a set of `images` images.
inline std::vector<bool> members_of(const std::string& text, std::size_t images) {
    const std::string digits = "0123456789abcdef";
    std::vector<bool> members;
    for (const char c : text) {
        const std::size_t value = digits.find(c);
        check(value != std::string::npos, "set of images: '", c, "' is no hexadecimal digit");
        for (unsigned bit = 8; bit > 0; bit /= 2) members.push_back((value & bit) != 0);
    }
    members.resize(images);
    check(image_set(members) == text, "set of images: it is not one of ", images, " images");
    return members;
}

}  // namespace lethe
