// Lists of images: comma-separated values.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace lethe {

// Rows of fields, as RFC 4180 writes them: a field in double quotes may hold commas, line ends and doubled quotes.
// Empty lines are left out; so is a byte order mark. Throws Error naming the line of a quoted field that does not end,
// or that text follows.
std::vector<std::vector<std::string>> parse_csv(std::string_view text);

}  // namespace lethe
