#include "data/picture.h"

#include <algorithm>
#include <sstream>

#include "tensor/error.h"

namespace lethe {
namespace {

constexpr int margin = 16, cell_gap = 14, line_height = 14, capitals = 8;
constexpr Colour ink{40, 40, 40}, faint{110, 110, 110}, frame{205, 205, 205};

std::vector<std::string> lines_of(const std::string& text) {
    std::vector<std::string> lines;
    std::istringstream in(text);
    for (std::string line; std::getline(in, line);) lines.push_back(line);
    return lines;
}

int image_width(const SheetCell& cell, int zoom) { return static_cast<int>(cell.images.dim(3)) * zoom; }
int image_height(const SheetCell& cell, int zoom) { return static_cast<int>(cell.images.dim(2)) * zoom; }

int cell_height(const SheetCell& cell, int zoom) {
    const int lines = static_cast<int>(lines_of(cell.caption).size());
    return image_height(cell, zoom) + (lines > 0 ? 6 + lines * line_height : 0);
}

// Every column is as wide as its widest picture, title or caption.
std::vector<int> column_widths(const Sheet& sheet, int zoom) {
    std::vector<int> widths;
    const auto grow = [&](std::size_t column, int width) {
        if (widths.size() <= column) widths.resize(column + 1, 0);
        widths[column] = std::max(widths[column], width);
    };
    for (std::size_t i = 0; i < sheet.column_titles.size(); ++i) grow(i, Canvas::text_width(sheet.column_titles[i]));
    for (const std::vector<SheetCell>& row : sheet.rows)
        for (std::size_t i = 0; i < row.size(); ++i) {
            check(row[i].images.defined() && row[i].images.rank() == 4, "picture: a sheet's cell has no image");
            grow(i, image_width(row[i], zoom) + 2);
            for (const std::string& line : lines_of(row[i].caption)) grow(i, Canvas::text_width(line));
        }
    return widths;
}

int row_height(const std::vector<SheetCell>& row, int zoom) {
    int height = 0;
    for (const SheetCell& cell : row) height = std::max(height, cell_height(cell, zoom));
    return height;
}

void centred(Canvas& canvas, int middle, int y, const std::string& text, Colour colour) {
    canvas.text(middle - Canvas::text_width(text) / 2, y, text, colour);
}

void draw_cell(Canvas& canvas, int middle, int y, const SheetCell& cell, int zoom) {
    const int width = image_width(cell, zoom), height = image_height(cell, zoom), left = middle - width / 2;
    canvas.rectangle(left - 1, y - 1, width + 2, height + 2, frame);
    canvas.image(left, y, cell.images, cell.row, zoom);
    int text_y = y + height + 7;
    for (const std::string& line : lines_of(cell.caption)) {
        centred(canvas, middle, text_y, line, cell.caption_colour);
        text_y += line_height;
    }
}

}  // namespace

void write_sheet(const std::filesystem::path& path, const Sheet& sheet, int zoom) {
    check(zoom >= 1, "picture: the zoom must be at least 1, got ", zoom);
    const std::vector<int> widths = column_widths(sheet, zoom);
    const int header = sheet.title.empty() ? 0 : 2 * capitals + margin;
    const int titles = sheet.column_titles.empty() ? 0 : capitals + 8;
    int width = margin, height = margin + header + titles;
    for (const int column : widths) width += column + cell_gap;
    for (const std::vector<SheetCell>& row : sheet.rows) height += row_height(row, zoom) + cell_gap;
    width = std::max(width - cell_gap, margin + Canvas::text_width(sheet.title, 2)) + margin;
    Canvas canvas(width, height - (sheet.rows.empty() ? 0 : cell_gap) + margin);

    canvas.text(margin, margin, sheet.title, ink, 2);
    int x = margin;
    for (std::size_t column = 0; column < widths.size(); ++column) {
        const int middle = x + widths[column] / 2;
        if (column < sheet.column_titles.size())
            centred(canvas, middle, margin + header, sheet.column_titles[column], faint);
        int y = margin + header + titles;
        for (const std::vector<SheetCell>& row : sheet.rows) {
            if (column < row.size()) draw_cell(canvas, middle, y, row[column], zoom);
            y += row_height(row, zoom) + cell_gap;
        }
        x += widths[column] + cell_gap;
    }
    canvas.write_png(path);
}

}  // namespace lethe
