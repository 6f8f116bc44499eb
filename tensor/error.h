// Errors: one exception type whose text is one clear sentence for the person at the keyboard.
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>

namespace lethe {

// Thrown for every mistake a caller or a user can make: wrong shape, bad file, unknown name.
// what() names the thing and says what would be right; tools print it after "lethe: " and exit 1.
class Error : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

// Concatenates its arguments with operator<<.
template <class... Parts>
std::string concat(const Parts&... parts) {
    std::ostringstream out;
    (out << ... << parts);
    return out.str();
}

template <class... Parts>
[[noreturn]] void fail(const Parts&... parts) {
    throw Error(concat(parts...));
}

// Throws Error with the concatenated parts unless `condition` holds.
template <class... Parts>
void check(bool condition, const Parts&... parts) {
    if (!condition) fail(parts...);
}

}  // namespace lethe
