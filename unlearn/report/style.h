// How the page and its charts look: the style sheet, and the marks that tell methods apart.
#pragma once

#include <string>
#include <vector>

namespace lethe::report {

// A curve or mark: its colour is a class of the style sheet; dash pattern and shape say the same without colours.
struct Mark {
    std::string colour;  // "s0" to "s7", or "plain" for what is no method
    int dash = 0;        // 0, solid, to dashes - 1
    int shape = 0;       // 0 to shapes - 1
};
inline constexpr int colours = 8, dashes = 5, shapes = 7;

// Of the image sets, in every chart.
Mark forget_mark();
Mark retain_mark();
Mark test_mark();
Mark before_mark();

// Each method has one mark in all of a page's charts, given in the order in which they are first asked for; the first
// 280 are all different.
class Marks {
public:
    Mark of(const std::string& method);

private:
    std::vector<std::string> methods_;
};

extern const char* const style_sheet;

}  // namespace lethe::report
