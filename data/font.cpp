#include "data/font.h"

#include <algorithm>
#include <array>

namespace lethe {
namespace {

constexpr char first = ' ', last = '~';
constexpr int gap = 3;  // between the last stroke of a glyph and the first of the next

// From ' ' to '~'. Each pair of digits is a point x, y; a blank starts a new stroke.
constexpr std::array<const char*, last - first + 1> drawings{
    "",                                       // space
    "0005 07",                                // !
    "0002 2022",                              // "
    "1017 3037 0242 0545",                    // #
    "413010010213334446371706 2028",          // $
    "10212213020110 54656657464554 5017",     // %
    "4702011021220506172745",                 // &
    "0002",                                   // '
    "20020628",                               // (
    "00222608",                               // )
    "2125 0244 4204",                         // *
    "2226 0444",                              // +
    "1709",                                   // ,
    "0434",                                   // -
    "07",                                     // .
    "0740",                                   // /
    "103041463717060110",                     // 0
    "112027 1737",                            // 1
    "01103041420747",                         // 2
    "011030414233 13334446371706",            // 3
    "37300545",                               // 4
    "400003334446371706",                     // 5
    "413010010617374644331304",               // 6
    "004017",                                 // 7
    "103041423313020110 133344463717060413",  // 8
    "433414030110304146371706",               // 9
    "03 07",                                  // :
    "13 1709",                                // ;
    "410447",                                 // <
    "0343 0545",                              // =
    "014407",                                 // >
    "01103041422425 27",                      // ?
    "4433244435 4344556461501001061757",      // @
    "072047 1535",                            // A
    "07003041423303 3344463707",              // B
    "4130100106173746",                       // C
    "07003041463707",                         // D
    "40000747 0333",                          // E
    "400007 0333",                            // F
    "41301001061737464424",                   // G
    "0007 4047 0343",                         // H
    "0020 1017 0727",                         // I
    "3036271706",                             // J
    "0007 4004 1347",                         // K
    "000747",                                 // L
    "0700336067",                             // M
    "07004740",                               // N
    "104051564717060110",                     // O
    "07003041433404",                         // P
    "104051564717060110 3557",                // Q
    "07003041433404 2447",                    // R
    "413010010213334446371706",               // S
    "0040 2027",                              // T
    "000617374640",                           // U
    "002740",                                 // V
    "0017325760",                             // W
    "0047 4007",                              // X
    "002340 2327",                            // Y
    "00400747",                               // Z
    "20000828",                               // [
    "0047",                                   // backslash
    "00202808",                               // ]
    "022042",                                 // ^
    "0848",                                   // _
    "0011",                                   // `
    "12324347 44140506173746",                // a
    "0007 0312324346371706",                  // b
    "4332120306173746",                       // c
    "4047 4332120306173746",                  // d
    "04444332120306173746",                   // e
    "30201117 0232",                          // f
    "4332120306173746 4248391908",            // g
    "0007 0312324347",                        // h
    "0207 00",                                // i
    "121809 10",                              // j
    "0007 3205 1437",                         // k
    "000617",                                 // l
    "0207 0312223337 3342526367",             // m
    "0207 0312324347",                        // n
    "123243463717060312",                     // o
    "0209 0312324346371706",                  // p
    "4249 4332120306173746",                  // q
    "0207 031232",                            // r
    "43321203143546371706",                   // s
    "10162737 0232",                          // t
    "0206173746 4247",                        // u
    "022742",                                 // v
    "0217335762",                             // w
    "0247 4207",                              // x
    "0227 421909",                            // y
    "02420747",                               // z
    "30212314252738",                         // {
    "0009",                                   // |
    "00111324151708",                         // }
    "05143544",                               // ~
};

Glyph parse(char character, std::string_view drawing) {
    Glyph result;
    int width = character == ' ' || (character >= '0' && character <= '9') ? 4 : 0;  // figures align in columns
    result.strokes.emplace_back();
    for (std::size_t i = 0; i < drawing.size(); i += 2) {
        if (drawing[i] == ' ') {
            result.strokes.emplace_back();
            ++i;
        }
        const StrokePoint point{drawing[i] - '0', drawing[i + 1] - '0'};
        width = std::max(width, point.x);
        result.strokes.back().push_back(point);
    }
    result.advance = character == ' ' ? width : width + gap;
    return result;
}

std::array<Glyph, drawings.size()> parse_all() {
    std::array<Glyph, drawings.size()> glyphs;
    for (std::size_t i = 0; i < glyphs.size(); ++i)
        glyphs[i] = parse(static_cast<char>(first + static_cast<int>(i)), drawings[i]);
    return glyphs;
}

}  // namespace

const Glyph& glyph(char character) {
    static const std::array<Glyph, drawings.size()> glyphs = parse_all();
    const bool known = character >= first && character <= last;
    return glyphs[static_cast<std::size_t>((known ? character : '?') - first)];
}

std::string ascii_text(std::string_view text) {
    std::string result;
    for (const char character : text) {
        const auto byte = static_cast<unsigned char>(character);
        if (byte < 0x80)
            result += character;
        else if (byte >= 0xC0)  // the first byte of a sequence; the others are 0x80 to 0xBF
            result += '?';
    }
    return result;
}

}  // namespace lethe
