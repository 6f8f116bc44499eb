#include "unlearn/experiment/grid.h"

#include <toml++/toml.h>

#include <algorithm>
#include <set>
#include <sstream>

#include "data/file.h"
#include "tensor/error.h"
#include "unlearn/method.h"
#include "unlearn/protocol.h"

namespace lethe {
namespace {

// Options of `lethe unlearn` that say what a model is; the rest of them goes under [options].
const std::vector<std::string> model_keys{"weights",    "model",     "stem",     "classes",
                                          "image-size", "normalize", "transform"};
const std::vector<std::string> cell_keys{"data", "forget", "methods", "protocol", "switches", "seed",
                                         "out",  "config", "json",    "quiet",    "help"};

bool holds(const std::vector<std::string>& list, const std::string& item) {
    return std::find(list.begin(), list.end(), item) != list.end();
}

std::string listed(const std::vector<std::string>& list, const char* between = ", ") {
    std::string text;
    for (const std::string& item : list) text += (text.empty() ? "" : between) + item;
    return text;
}

std::vector<std::string> parts_of(const std::string& text, char separator) {
    std::vector<std::string> parts;
    std::istringstream in(text);
    for (std::string part; std::getline(in, part, separator);) parts.push_back(part);
    return parts;
}

class GridReader {
public:
    GridReader(const std::filesystem::path& file, const std::vector<std::string>& options) : file_(file.string()) {
        for (const std::string& option : options)
            if (!holds(model_keys, option) && !holds(cell_keys, option)) options_.push_back(option);
    }

    Grid read() const;

private:
    template <class... Parts>
    [[noreturn]] void fail_at(const toml::source_region& source, const Parts&... parts) const {
        fail(file_, ":", source.begin.line, ": ", parts...);
    }

    // What action() throws, with the line of `node`.
    template <class Action>
    void at_line_of(const toml::node& node, Action&& action) const {
        try {
            action();
        } catch (const Error& error) {
            fail_at(node.source(), error.what());
        }
    }

    void check_keys(const toml::table& table, const std::string& where, const std::vector<std::string>& known) const {
        for (const auto& [key, value] : table)
            if (!holds(known, std::string(key.str())))
                fail_at(key.source(), "unknown key '", key.str(), "'", where, "; known are: ", listed(known));
    }
    const toml::node& required(const toml::table& table, const char* key, const std::string& where) const {
        const toml::node* node = table.get(key);
        if (node == nullptr) fail_at(table.source(), "the key '", key, "' is missing", where);
        return *node;
    }
    template <class Value>
    Value value_of(const toml::node& node, const char* key, const char* kind) const {
        const auto value = node.value_exact<Value>();
        if (!value) fail_at(node.source(), key, " must be ", kind);
        return *value;
    }
    std::string text_of(const toml::node& node, const char* key) const {
        return value_of<std::string>(node, key, "a text in quotes");
    }
    // The items of a list that is not empty and holds nothing twice.
    template <class Value>
    std::vector<Value> list_of(const toml::node& node, const char* key, const char* kind) const;
    std::vector<int64_t> whole_numbers(const toml::table& table, const char* key, int64_t least) const;

    Json option_value(const toml::node& node, const std::string& key) const;
    std::vector<Grid::Named> named(const toml::table& root, const char* key, const std::vector<std::string>& known,
                                   const char* needed) const;
    void read_methods(const toml::table& root, Grid& grid) const;
    void read_comparisons(const toml::table& root, Grid& grid) const;
    void read_settings(const toml::table& root, Grid& grid) const;

    std::string file_;
    std::vector<std::string> options_;
};

template <class Value>
std::vector<Value> GridReader::list_of(const toml::node& node, const char* key, const char* kind) const {
    const toml::array* array = node.as_array();
    if (array == nullptr || array->empty()) fail_at(node.source(), key, " must be a list [...] that is not empty");
    std::vector<Value> values;
    for (const toml::node& item : *array) {
        Value value = value_of<Value>(item, key, kind);
        if (std::find(values.begin(), values.end(), value) != values.end())
            fail_at(item.source(), key, " holds ", value, " twice");
        values.push_back(std::move(value));
    }
    return values;
}

std::vector<int64_t> GridReader::whole_numbers(const toml::table& table, const char* key, int64_t least) const {
    const toml::node& node = required(table, key, "");
    std::vector<int64_t> values = list_of<int64_t>(node, key, "a list of whole numbers");
    for (const int64_t value : values)
        if (value < least) fail_at(node.source(), key, " must be ", least, " or more, got ", value);
    return values;
}

Json GridReader::option_value(const toml::node& node, const std::string& key) const {
    if (const auto value = node.value_exact<std::string>()) return *value;
    if (const auto value = node.value_exact<int64_t>()) return *value;
    if (const auto value = node.value_exact<double>()) return *value;
    if (const auto value = node.value_exact<bool>()) return *value;
    fail_at(node.source(), key, " must be a text, a number, true or false");
}

// [[model]] and [[data]]: a name and options.
std::vector<Grid::Named> GridReader::named(const toml::table& root, const char* key,
                                           const std::vector<std::string>& known, const char* needed) const {
    const toml::node& node = required(root, key, "");
    const toml::array* array = node.as_array();
    if (array == nullptr || !array->is_homogeneous<toml::table>())
        fail_at(node.source(), key, " must be written as [[", key, "]], once for each");
    std::vector<std::string> keys{"name"};
    keys.insert(keys.end(), known.begin(), known.end());
    const std::string where = concat(" in [[", key, "]]");
    std::vector<Grid::Named> list;
    for (const toml::node& item : *array) {
        const toml::table& table = *item.as_table();
        check_keys(table, where, keys);
        const toml::node& named_node = required(table, "name", where);
        Grid::Named entry{text_of(named_node, "name"), Json::object()};
        if (entry.name.empty() || entry.name.front() == '.' ||
            !std::all_of(entry.name.begin(), entry.name.end(), [](char c) {
                return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                       c == '+' || c == '.';
            }))
            fail_at(named_node.source(), "name '", entry.name,
                    "' becomes part of a folder's name: letters, digits, '-', '+' and '.' (not first) are right");
        for (const Grid::Named& other : list)
            if (other.name == entry.name) fail_at(named_node.source(), "the name '", entry.name, "' is there twice");
        required(table, needed, where);
        for (const std::string& option : known)
            if (const toml::node* value = table.get(option)) entry.options[option] = option_value(*value, option);
        list.push_back(std::move(entry));
    }
    return list;
}

void GridReader::read_methods(const toml::table& root, Grid& grid) const {
    const toml::node& node = required(root, "methods", "");
    grid.methods = list_of<std::string>(node, "methods", "a list of names of methods");
    for (const std::string& name : grid.methods) at_line_of(node, [&] { find_method(name); });
}

// Without `compare`: each method with the one before it.
void GridReader::read_comparisons(const toml::table& root, Grid& grid) const {
    const toml::node* node = root.get("compare");
    if (node == nullptr) {
        for (std::size_t i = 1; i < grid.methods.size(); ++i)
            grid.compare.emplace_back(grid.methods[i], grid.methods[i - 1]);
        return;
    }
    const toml::array* array = node->as_array();
    if (array == nullptr) fail_at(node->source(), "compare must be a list of pairs of methods");
    for (const toml::node& item : *array) {
        const std::vector<std::string> pair = list_of<std::string>(item, "compare", "a list of pairs of methods");
        if (pair.size() != 2 || !holds(grid.methods, pair[0]) || !holds(grid.methods, pair[1]))
            fail_at(item.source(), "compare: each pair must be two of the file's methods (", listed(grid.methods),
                    "), like [\"", grid.methods.back(), "\", \"", grid.methods.front(), "\"]");
        grid.compare.emplace_back(pair[0], pair[1]);
    }
}

void GridReader::read_settings(const toml::table& root, Grid& grid) const {
    const toml::node& forget = required(root, "forget", "");
    grid.forget = text_of(forget, "forget");
    if (!holds(parts_of(grid.forget, ':'), "K"))
        fail_at(forget.source(), "forget is '", grid.forget,
                "'; the part K is missing, like in random:SEED:K or class:cat:K");
    if (holds(parts_of(grid.forget, ':'), "SET") != !grid.sets.empty())
        fail_at(forget.source(), "forget is '", grid.forget, "' and there ",
                grid.sets.empty() ? "is no list 'sets'" : "is a list 'sets'",
                "; the part SET and that list belong together, like in random:SET:K");
    if (const toml::node* node = root.get("protocol")) {
        grid.protocol = text_of(*node, "protocol");
        at_line_of(*node, [&] { lethe::protocol(grid.protocol); });
    }
    if (const toml::node* node = root.get("switches")) {
        grid.switches = list_of<std::string>(*node, "switches", "a list of switch sets in quotes");
        Switches values;
        for (const std::string& set : grid.switches)
            for (const std::string& text : parts_of(set, ',')) at_line_of(*node, [&] { set_switch(values, text); });
    }
    const toml::node* options = root.get("options");
    if (options == nullptr) return;
    if (!options->is_table()) fail_at(options->source(), "options must be a table, [options]");
    check_keys(*options->as_table(), " in [options]", options_);
    for (const std::string& option : options_)
        if (const toml::node* value = options->as_table()->get(option))
            grid.options[option] = option_value(*value, option);
}

Grid GridReader::read() const {
    toml::table root;
    try {
        root = toml::parse(read_text(file_), file_);
    } catch (const toml::parse_error& error) {
        fail_at(error.source(), "this is not TOML: ", error.description());
    }
    check_keys(
        root, "",
        {"model", "data", "k", "sets", "seeds", "forget", "methods", "compare", "protocol", "switches", "options"});
    Grid grid;
    grid.models = named(root, "model", model_keys, "weights");
    grid.data = named(root, "data", {"data"}, "data");
    grid.k = whole_numbers(root, "k", 1);
    if (root.contains("sets"))
        for (const int64_t set : whole_numbers(root, "sets", 0)) grid.sets.push_back(static_cast<uint64_t>(set));
    for (const int64_t seed : whole_numbers(root, "seeds", 0)) grid.seeds.push_back(static_cast<uint64_t>(seed));
    read_methods(root, grid);
    read_comparisons(root, grid);
    read_settings(root, grid);
    return grid;
}

// "random:SET:K" of a cell.
std::string forget_set_of(const std::string& pattern, const Cell& cell) {
    std::vector<std::string> parts = parts_of(pattern, ':');
    for (std::string& part : parts)
        if (part == "K")
            part = std::to_string(cell.k);
        else if (part == "SEED")
            part = std::to_string(cell.seed);
        else if (part == "SET" && cell.set)
            part = std::to_string(*cell.set);
    return listed(parts, ":");
}

Cell cell_of(const Grid& grid, const Grid::Named& model, const Grid::Named& data, int64_t k,
             const std::string& switches, std::optional<uint64_t> forget_set, uint64_t seed) {
    Cell cell;
    cell.model = model.name;
    cell.data = data.name;
    cell.switches = switches;
    cell.k = k;
    cell.set = forget_set;
    cell.seed = seed;
    std::string rest = switches.empty() ? "" : "_" + switches;
    std::replace(rest.begin(), rest.end(), ',', '+');
    if (forget_set) rest += concat("_set", *forget_set);
    cell.name = concat(model.name, "_", data.name, "_k", k, rest, "_seed", seed);
    cell.config = {{"command", "unlearn"}};
    for (const Json* options : {&model.options, &data.options, &grid.options}) cell.config.update(*options);
    cell.config.update({{"forget", forget_set_of(grid.forget, cell)},
                        {"methods", listed(grid.methods, ",")},
                        {"protocol", grid.protocol},
                        {"switches", switches},
                        {"seed", seed}});
    return cell;
}

}  // namespace

Grid read_grid(const std::filesystem::path& file, const std::vector<std::string>& options) {
    return GridReader(file, options).read();
}

std::vector<Cell> cells_of(const Grid& grid) {
    std::vector<std::optional<uint64_t>> sets(grid.sets.begin(), grid.sets.end());
    if (sets.empty()) sets.emplace_back();
    std::vector<Cell> cells;
    for (const Grid::Named& model : grid.models)
        for (const Grid::Named& data : grid.data)
            for (const int64_t k : grid.k)
                for (const std::string& switches : grid.switches)
                    for (const std::optional<uint64_t>& set : sets)
                        for (const uint64_t seed : grid.seeds)
                            cells.push_back(cell_of(grid, model, data, k, switches, set, seed));
    return cells;
}

}  // namespace lethe
