// Writing HTML. A parameter or member whose name ends in `html` is markup; all other text is escaped here.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "unlearn/metrics.h"

namespace lethe::report {

// Text for an element's content or for an attribute in either kind of quotes. Control characters, which HTML forbids,
// become U+FFFD.
std::string escaped(std::string_view text);

std::string base64(std::span<const uint8_t> bytes);  // RFC 4648, padded
std::string data_uri(const std::string& media_type, std::span<const uint8_t> bytes);

// Numbers for people: 10000 is "10,000"; the minus is U+2212, nothing is "-0.00", what is not finite is a dash.
std::string grouped(int64_t value);
std::string fixed(double value, int digits);
std::string percent(const Accuracy& accuracy);     // "89.99 %", or a dash of no images
std::string share_html(const Accuracy& accuracy);  // for a cell: "89.99 %" and below it "8,999 of 10,000"
std::string p_value(double p);                     // "p = 0.031", "p < 0.001": text, not markup
std::string plural(int64_t count, const std::string& one, const std::string& many);  // "1 step", "1,200 steps"

using Attributes = std::vector<std::pair<std::string, std::string>>;
std::string element(const std::string& name, const std::string& html, const Attributes& attributes = {});
std::string heading(int level, const std::string& text);
std::string paragraph(const std::string& text);
std::string list(const std::vector<std::string>& items_html, const std::string& css_class = "");
std::string details(const std::string& summary_html, const std::string& html);
std::string figure(const std::string& html, const std::string& caption_html);

struct Column {
    std::string title;
    bool number = true;  // set to the right
};
// A table whose first column holds the rows' headings. It scrolls sideways where it is wider than the page, by
// keyboard, too.
class Table {
public:
    Table(const std::string& caption, const std::vector<Column>& columns);
    void group(const std::string& heading);  // of the rows that follow
    // Throws Error unless there is a cell for each column but the first.
    void row(const std::string& heading_html, const std::vector<std::string>& cells_html);
    std::string html() const;

private:
    std::string caption_, head_, body_;
    std::vector<bool> number_;
};

// Two columns: what, and its value.
std::string facts(const std::string& caption, const std::vector<std::pair<std::string, std::string>>& rows_html);

}  // namespace lethe::report
