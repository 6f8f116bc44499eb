#include "data/split.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <optional>
#include <sstream>
#include <string_view>
#include <utility>

#include "data/file.h"
#include "tensor/error.h"
#include "tensor/random.h"

namespace lethe {
namespace {

constexpr const char* forms =
    "torch-randperm:SEED:K, random:SEED:K, class:NAME[:K], images:I,J,..., indices:FILE, misclassified[:K] or "
    "misclassified:SEED:K, and test: before any of them";
constexpr std::string_view test_prefix = "test:";

std::string set_name(const Dataset& data) {
    return concat("the ", data.split == Split::train ? "training" : name(data.split), " set");
}

std::optional<int64_t> integer(const std::string& text) {
    int64_t value = 0;
    const char* end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, value);
    return error == std::errc{} && stop == end ? std::optional(value) : std::nullopt;
}

// K as in the text; throws unless 1 <= K <= available.
std::size_t parse_count(const std::string& text, const std::string& k, std::size_t available, const std::string& of) {
    const auto count = integer(k);
    check(count.has_value(), "forget set '", text, "': '", k, "' is not a number of images");
    check(*count >= 1, "forget set '", text, "': at least 1 image must be forgotten, not ", *count);
    check(std::cmp_less_equal(*count, available), "forget set '", text, "': ", *count, " images are asked for, but ",
          of, " has only ", available);
    return static_cast<std::size_t>(*count);
}

// "SEED:K" of a random selection among `size` images of the set `of`.
struct SeedAndCount {
    int64_t seed;
    std::size_t count;
};

SeedAndCount parse_seed_and_count(const std::string& text, const std::string& rest, int64_t size, const std::string& of,
                                  int64_t max_seed = std::numeric_limits<int64_t>::max()) {
    const std::size_t colon = rest.find(':');
    check(colon != std::string::npos, "forget set '", text, "': SEED:K is needed after the first colon");
    const auto seed = integer(rest.substr(0, colon));
    check(seed.has_value() && *seed >= 0 && *seed <= max_seed, "forget set '", text, "': the seed must be 0 to ",
          max_seed);
    return {*seed, parse_count(text, rest.substr(colon + 1), static_cast<std::size_t>(size), of)};
}

std::vector<int64_t> select_torch_randperm(const std::string& text, const std::string& rest, const Dataset& data) {
    const auto [seed, count] =
        parse_seed_and_count(text, rest, data.size(), set_name(data), std::numeric_limits<uint32_t>::max());
    std::vector<int64_t> chosen = torch_randperm(static_cast<uint32_t>(seed), data.size());
    chosen.resize(count);
    return chosen;
}

std::vector<int64_t> select_random(const std::string& text, const std::string& rest, const Dataset& data) {
    const auto [seed, count] = parse_seed_and_count(text, rest, data.size(), set_name(data));
    std::vector<int64_t> chosen = Random(static_cast<uint64_t>(seed), Purpose::select).permutation(data.size(), 0);
    chosen.resize(count);
    return chosen;
}

std::optional<int64_t> class_index(const Dataset& train, const std::string& name) {
    const auto found = std::find(train.class_names.begin(), train.class_names.end(), name);
    if (found == train.class_names.end()) return std::nullopt;
    return found - train.class_names.begin();
}

[[noreturn]] void fail_unknown_class(const std::string& text, const std::string& name, const Dataset& train) {
    std::string known;
    for (const std::string& each : train.class_names) known += (known.empty() ? "" : ", ") + each;
    fail("forget set '", text, "': unknown class '", name, "'; known are ", known);
}

// NAME or NAME:K; a name may itself contain colons.
std::vector<int64_t> select_class(const std::string& text, const std::string& rest, const Dataset& train) {
    std::string name = rest, k;
    auto index = class_index(train, name);
    if (const std::size_t colon = rest.rfind(':'); !index && colon != std::string::npos) {
        name = rest.substr(0, colon);
        k = rest.substr(colon + 1);
        index = class_index(train, name);
    }
    if (!index) fail_unknown_class(text, name, train);
    std::vector<int64_t> chosen;
    for (int64_t i = 0; i < train.size(); ++i)
        if (train.labels[static_cast<std::size_t>(i)] == *index) chosen.push_back(i);
    check(!chosen.empty(), "forget set '", text, "': ", set_name(train), " has no image of class ", name);
    if (name != rest) chosen.resize(parse_count(text, k, chosen.size(), "class " + name));
    return chosen;
}

// Removes a comment and the white space around the rest.
std::string bare(std::string line) {
    line = line.substr(0, line.find('#'));
    const std::size_t first = line.find_first_not_of(" \t\r");
    if (first == std::string::npos) return "";
    return line.substr(first, line.find_last_not_of(" \t\r") - first + 1);
}

// Indices named one by one; `where` begins the sentence about one that is wrong.
class NamedIndices {
public:
    explicit NamedIndices(const Dataset& data) : data_(data), taken_(data.labels.size()) {}

    void add(const std::string& item, const std::string& where) {
        const auto index = integer(item);
        check(index.has_value(), where, ": '", item.substr(0, 60), "' is not an image index");
        check(*index >= 0 && *index < data_.size(), where, ": index ", *index, " is outside ", set_name(data_), " of ",
              data_.size(), " images");
        check(!taken_[static_cast<std::size_t>(*index)], where, ": index ", *index, " is there twice");
        taken_[static_cast<std::size_t>(*index)] = true;
        chosen_.push_back(*index);
    }
    const std::vector<int64_t>& chosen() const { return chosen_; }

private:
    const Dataset& data_;
    std::vector<bool> taken_;
    std::vector<int64_t> chosen_;
};

std::vector<int64_t> select_images(const std::string& list, const Dataset& data) {
    NamedIndices indices(data);
    std::istringstream items(list + ",");
    for (std::string item; std::getline(items, item, ',');) indices.add(item, "forget set images");
    return indices.chosen();
}

std::vector<int64_t> select_indices(const std::string& path, const Dataset& data) {
    NamedIndices indices(data);
    std::istringstream lines(read_text(path));
    std::string line;
    for (int64_t number = 1; std::getline(lines, line); ++number) {
        line = bare(line);
        if (!line.empty()) indices.add(line, concat(path, ":", number));
    }
    check(!indices.chosen().empty(), path, ": names no image; one index per line is needed");
    return indices.chosen();
}

// Nothing, K or SEED:K after the colon.
std::vector<int64_t> select_misclassified(const std::string& text, const std::optional<std::string>& rest,
                                          const Dataset& data,
                                          const std::function<std::vector<int64_t>()>& misclassified) {
    constexpr const char* of = "the set of misclassified images";
    check(static_cast<bool>(misclassified), "forget set '", text, "': a model is needed to find misclassified images");
    const std::vector<int64_t> wrong = misclassified();
    const auto size = static_cast<int64_t>(wrong.size());
    check(size > 0, "forget set '", text, "': the model classifies every image of ", set_name(data), " correctly");
    std::vector<int64_t> chosen = wrong;
    if (rest && rest->find(':') != std::string::npos) {
        const auto [seed, count] = parse_seed_and_count(text, *rest, size, of);
        constexpr uint64_t stream = 1;  // not that of select_random()
        std::vector<int64_t> order = Random(static_cast<uint64_t>(seed), Purpose::select).permutation(size, stream);
        chosen.resize(count);
        for (std::size_t i = 0; i < count; ++i) chosen[i] = wrong[static_cast<std::size_t>(order[i])];
    } else if (rest) {
        chosen.resize(parse_count(text, *rest, wrong.size(), of));
    }
    return chosen;
}

}  // namespace

Split forget_split(const std::string& text) { return text.starts_with(test_prefix) ? Split::test : Split::train; }

std::vector<int64_t> select_forget_set(const std::string& text, const Dataset& data,
                                       const std::function<std::vector<int64_t>()>& misclassified) {
    std::string expression = text;
    if (forget_split(text) == Split::test) {
        check(data.split == Split::test, "forget set '", text, "' is of the test set, and ", name(data.split),
              " images are what is asked for here");
        expression.erase(0, test_prefix.size());
    }
    const std::size_t colon = expression.find(':');
    const std::string form = expression.substr(0, colon);
    const bool has_rest = colon != std::string::npos;
    const std::string rest = has_rest ? expression.substr(colon + 1) : "";
    if (form == "misclassified")
        return select_misclassified(text, has_rest ? std::optional(rest) : std::nullopt, data, misclassified);
    if (form == "torch-randperm" && has_rest) return select_torch_randperm(text, rest, data);
    if (form == "random" && has_rest) return select_random(text, rest, data);
    if (form == "class" && has_rest) return select_class(text, rest, data);
    if (form == "images" && has_rest) return select_images(rest, data);
    if (form == "indices" && has_rest) return select_indices(rest, data);
    fail("forget set '", text, "': unknown form; known are ", forms);
}

std::string images_expression(const std::vector<int64_t>& indices) {
    std::string text = "images:";
    for (std::size_t i = 0; i < indices.size(); ++i) text += concat(i > 0 ? "," : "", indices[i]);
    return text;
}

std::vector<int64_t> evenly_spread(const std::vector<int64_t>& indices, int64_t limit) {
    const auto size = static_cast<int64_t>(indices.size());
    if (limit <= 0 || size <= limit) return indices;
    std::vector<int64_t> chosen;
    for (int64_t i = 0; i < limit; ++i) chosen.push_back(indices[static_cast<std::size_t>(i * size / limit)]);
    return chosen;
}

std::vector<int64_t> complement(const std::vector<int64_t>& forget, int64_t size) {
    std::vector<bool> forgotten(static_cast<std::size_t>(size));
    for (const int64_t index : forget) {
        check(index >= 0 && index < size, "forget set: index ", index, " is outside [0, ", size, ")");
        forgotten[static_cast<std::size_t>(index)] = true;
    }
    std::vector<int64_t> rest;
    for (int64_t i = 0; i < size; ++i)
        if (!forgotten[static_cast<std::size_t>(i)]) rest.push_back(i);
    return rest;
}

}  // namespace lethe
