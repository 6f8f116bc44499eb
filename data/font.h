// The letters of pictures: a stroke font of our own, so that no font file is needed and any size stays smooth.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace lethe {

struct StrokePoint {
    int x, y;
};
using Stroke = std::vector<StrokePoint>;  // one point: a dot

// A glyph lives on a grid of units: capitals from y = 0 to the baseline y = 7, small letters from y = 2, descenders to
// y = 9. Strokes run through the points named.
struct Glyph {
    int advance = 0;  // from this glyph's x = 0 to the next one's
    std::vector<Stroke> strokes;
};

// Printable ASCII; anything else is shown as '?'.
const Glyph& glyph(char character);

// The text with every UTF-8 sequence beyond ASCII replaced by one '?', so that each character takes one place.
std::string ascii_text(std::string_view text);

}  // namespace lethe
