#include "data/csv.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <filesystem>
#include <optional>
#include <set>

#include "data/dataset_kinds.h"
#include "data/file.h"
#include "tensor/error.h"

namespace lethe {
namespace {

namespace fs = std::filesystem;

struct Row {
    fs::path file;
    std::string label;
    std::optional<Split> split;
};

std::string lower(std::string text) {
    for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    return text;
}

Split parse_split(const std::string& text, const std::string& where) {
    const std::string split = lower(text);
    if (split == "train") return Split::train;
    check(split == "test" || split == "val" || split == "valid", where, ": '", text,
          "' is no split; write train or test");
    return Split::test;
}

// The rows of FILE; a first row "file,label..." is a header. Paths are relative to the CSV.
std::vector<Row> read_rows(const fs::path& csv) {
    const std::string text = read_text(csv);
    std::vector<std::vector<std::string>> table;
    try {
        table = parse_csv(text);
    } catch (const Error& error) {
        fail("csv: ", csv.string(), ": ", error.what());
    }
    if (!table.empty() && table.front().size() >= 2 && lower(table.front()[1]) == "label") table.erase(table.begin());
    std::vector<Row> rows;
    for (const std::vector<std::string>& fields : table) {
        const std::string where = concat("csv: ", csv.string(), ": row ", rows.size() + 1);
        check((fields.size() == 2 || fields.size() == 3) && !fields[0].empty() && !fields[1].empty(), where,
              ": a row is file,label or file,label,split");
        Row row{.file = csv.parent_path() / fields[0], .label = fields[1], .split = {}};
        if (fields.size() == 3) row.split = parse_split(fields[2], where);
        rows.push_back(std::move(row));
    }
    check(!rows.empty(), "csv: ", csv.string(), " lists no images; a row is file,label or file,label,split");
    return rows;
}

std::optional<int64_t> as_number(const std::string& text) {
    int64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size() || value < 0) return std::nullopt;
    return value;
}

// Labels that are all whole numbers count classes from 0; otherwise they are names, and classes are in name order.
struct Classes {
    std::vector<std::string> names;
    bool numbered = true;

    int64_t of(const std::string& label) const {
        if (numbered) return *as_number(label);
        return std::lower_bound(names.begin(), names.end(), label) - names.begin();
    }
};

Classes find_classes(const std::vector<Row>& rows, const std::string& where) {
    constexpr int64_t most_classes = 1'000'000;
    std::set<std::string> names;
    int64_t most = -1;
    Classes classes;
    for (const Row& row : rows) {
        names.insert(row.label);
        const std::optional<int64_t> number = as_number(row.label);
        classes.numbered = classes.numbered && number.has_value();
        most = std::max(most, number.value_or(-1));
    }
    classes.names.assign(names.begin(), names.end());
    if (!classes.numbered) return classes;
    check(most < most_classes, "csv: ", where, " has label ", most, "; labels that are numbers count from 0");
    classes.names.clear();
    for (int64_t label = 0; label <= most; ++label) classes.names.push_back(std::to_string(label));
    return classes;
}

// "FILE" or "TRAIN:TEST".
std::pair<fs::path, fs::path> parse_argument(const std::string& argument) {
    check(!argument.empty(), "csv: the file is missing; write csv:FILE or csv:TRAIN:TEST");
    const std::size_t colon = argument.find(':');
    if (is_there(argument) || colon == std::string::npos) return {argument, {}};
    return {argument.substr(0, colon), argument.substr(colon + 1)};
}

class CsvReader {
public:
    explicit CsvReader(std::string_view text) : text_(text) {}

    bool done() const { return text_.empty(); }
    std::vector<std::string> row() {
        std::vector<std::string> fields{field()};
        while (skip(",")) fields.push_back(field());
        skip("\r");
        check(skip("\n") || done(), "line ", line_, ": text follows a quoted field");
        ++line_;
        return fields;
    }

private:
    bool skip(std::string_view what) {
        if (!text_.starts_with(what)) return false;
        text_.remove_prefix(what.size());
        return true;
    }
    std::string take(std::size_t length) {
        const std::string taken(text_.substr(0, length));
        text_.remove_prefix(taken.size());
        return taken;
    }
    std::string field() {
        if (!skip("\"")) return take(text_.find_first_of(",\r\n"));
        std::string value;
        for (;;) {
            const std::size_t quote = text_.find('"');
            check(quote != std::string_view::npos, "line ", line_, ": a quoted field does not end");
            value += take(quote);
            skip("\"");
            if (!skip("\"")) break;
            value += '"';
        }
        line_ += static_cast<std::size_t>(std::count(value.begin(), value.end(), '\n'));
        return value;
    }

    std::string_view text_;
    std::size_t line_ = 1;
};

}  // namespace

std::vector<std::vector<std::string>> parse_csv(std::string_view text) {
    if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
    std::vector<std::vector<std::string>> table;
    for (CsvReader reader(text); !reader.done();) {
        std::vector<std::string> row = reader.row();
        if (row.size() > 1 || !row[0].empty()) table.push_back(std::move(row));
    }
    return table;
}

Dataset load_csv(const std::string& argument, Split split) {
    const auto [first, second] = parse_argument(argument);
    std::vector<Row> rows = read_rows(first);
    if (!second.empty()) {
        for (Row& row : rows) row.split = Split::train;
        for (Row& row : read_rows(second)) {
            row.split = Split::test;
            rows.push_back(std::move(row));
        }
    }
    Dataset dataset;
    const Classes classes = find_classes(rows, first.string());
    dataset.class_names = classes.names;
    for (const Row& row : rows) {
        check(row.split.has_value(), "csv: ", first.string(), " lists ", row.file.filename().string(),
              " without saying train or test; add a third column, or write csv:TRAIN:TEST");
        if (*row.split != split) continue;
        dataset.files.push_back(row.file);
        dataset.labels.push_back(classes.of(row.label));
    }
    check(!dataset.files.empty(), "csv: ", argument, " lists no ", name(split), " images");
    return dataset;
}

}  // namespace lethe
