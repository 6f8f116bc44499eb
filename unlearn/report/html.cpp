#include "unlearn/report/html.h"

#include <cmath>
#include <cstdio>

#include "tensor/error.h"

namespace lethe::report {

std::string escaped(std::string_view text) {
    std::string html;
    for (const char c : text) {
        switch (c) {
            case '&':
                html += "&amp;";
                break;
            case '<':
                html += "&lt;";
                break;
            case '>':
                html += "&gt;";
                break;
            case '"':
                html += "&quot;";
                break;
            case '\'':
                html += "&#39;";
                break;
            case '\n':
            case '\t':
                html += c;
                break;
            default:
                if (static_cast<unsigned char>(c) < ' ' || c == '\x7f')
                    html += "\uFFFD";
                else
                    html += c;
        }
    }
    return html;
}

std::string base64(std::span<const uint8_t> bytes) {
    static constexpr char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string text;
    text.reserve((bytes.size() + 2) / 3 * 4);
    for (std::size_t i = 0; i < bytes.size(); i += 3) {
        const auto byte = [&](std::size_t at) { return at < bytes.size() ? uint32_t{bytes[at]} : 0u; };
        const uint32_t three = byte(i) << 16 | byte(i + 1) << 8 | byte(i + 2);
        for (std::size_t digit = 0; digit < 4; ++digit)
            text += i + digit > bytes.size() ? '=' : digits[three >> (18 - 6 * digit) & 63];
    }
    return text;
}

std::string data_uri(const std::string& media_type, std::span<const uint8_t> bytes) {
    return "data:" + media_type + ";base64," + base64(bytes);
}

std::string grouped(int64_t value) {
    std::string text = std::to_string(value < 0 ? -value : value);
    for (std::size_t at = text.size(); at > 3; at -= 3) text.insert(at - 3, ",");
    return value < 0 ? "\u2212" + text : text;
}

std::string fixed(double value, int digits) {
    if (!std::isfinite(value)) return "\u2013";
    char text[400];
    std::snprintf(text, sizeof text, "%.*f", digits, std::abs(value));
    const bool zero = std::string_view(text).find_first_not_of("0.") == std::string_view::npos;
    return (value < 0 && !zero ? "\u2212" : "") + std::string(text);
}

std::string percent(const Accuracy& accuracy) {
    return accuracy.total > 0 ? fixed(accuracy.percent(), 2) + "\u00A0%" : "\u2013";
}

std::string share_html(const Accuracy& accuracy) {
    return percent(accuracy) + element("small", grouped(accuracy.correct) + " of " + grouped(accuracy.total));
}

std::string p_value(double p) { return p < 0.001 ? "p < 0.001" : "p = " + fixed(p, 3); }

std::string plural(int64_t count, const std::string& one, const std::string& many) {
    return grouped(count) + " " + (count == 1 ? one : many);
}

std::string element(const std::string& name, const std::string& html, const Attributes& attributes) {
    std::string text = "<" + name;
    for (const auto& [key, value] : attributes) text += " " + key + "=\"" + escaped(value) + "\"";
    return text + ">" + html + "</" + name + ">";
}

std::string heading(int level, const std::string& text) {
    return element("h" + std::to_string(level), escaped(text)) + "\n";
}

std::string paragraph(const std::string& text) { return element("p", escaped(text)) + "\n"; }

std::string list(const std::vector<std::string>& items_html, const std::string& css_class) {
    std::string html;
    for (const std::string& item : items_html) html += element("li", item) + "\n";
    return element("ul", "\n" + html, css_class.empty() ? Attributes{} : Attributes{{"class", css_class}}) + "\n";
}

std::string details(const std::string& summary_html, const std::string& html) {
    return element("details", element("summary", summary_html) + "\n" + html) + "\n";
}

std::string figure(const std::string& html, const std::string& caption_html) {
    return element("figure", element("figcaption", caption_html) + "\n" + html) + "\n";
}

Table::Table(const std::string& caption, const std::vector<Column>& columns) : caption_(caption) {
    for (const Column& column : columns) {
        number_.push_back(column.number);
        Attributes attributes{{"scope", "col"}};
        if (column.number) attributes.emplace_back("class", "n");
        head_ += element("th", escaped(column.title), attributes);
    }
    head_ = element("thead", element("tr", head_));
}

void Table::group(const std::string& heading) {
    body_ += body_.empty() ? "<tbody>" : "</tbody>\n<tbody>";
    body_ += element("tr", element("th", escaped(heading),
                                   {{"scope", "rowgroup"}, {"colspan", std::to_string(number_.size())}})) +
             "\n";
}

void Table::row(const std::string& heading_html, const std::vector<std::string>& cells_html) {
    check(cells_html.size() + 1 == number_.size(), "report: a row of ", cells_html.size() + 1, " cells in a table of ",
          number_.size(), " columns");
    if (body_.empty()) body_ = "<tbody>";
    std::string cells = element("th", heading_html, {{"scope", "row"}});
    for (std::size_t i = 0; i < cells_html.size(); ++i)
        cells += element("td", cells_html[i], number_[i + 1] ? Attributes{{"class", "n"}} : Attributes{});
    body_ += element("tr", cells) + "\n";
}

std::string Table::html() const {
    const std::string body = body_.empty() ? "" : body_ + "</tbody>";
    const std::string table = element("table", element("caption", escaped(caption_)) + "\n" + head_ + "\n" + body);
    return element("div", table,
                   {{"class", "scroll"}, {"role", "group"}, {"tabindex", "0"}, {"aria-label", "Table: " + caption_}}) +
           "\n";
}

std::string facts(const std::string& caption, const std::vector<std::pair<std::string, std::string>>& rows_html) {
    Table table(caption, {{"what", false}, {"value", false}});
    for (const auto& [what, value_html] : rows_html) table.row(escaped(what), {value_html});
    return table.html();
}

}  // namespace lethe::report
