#include "data/bounded_json.h"

#include <set>
#include <vector>

#include "data/byte_reader.h"

namespace lethe {
namespace {

using nlohmann::json;

// nlohmann::json keeps the last of several equal keys and bounds nothing.
class Bounds {
public:
    explicit Bounds(const std::string& what) : what_(what) {}

    bool operator()(int depth, json::parse_event_t event, json& parsed) {
        constexpr int max_depth = 16;
        check(depth < max_depth, what_, " is nested too deeply");
        check(++events_ <= max_events, what_, " has more than ", max_events, " parts");
        if (event == json::parse_event_t::object_start) seen_.emplace_back();
        if (event == json::parse_event_t::object_end) seen_.pop_back();
        if (event == json::parse_event_t::key) {
            const auto& key = parsed.get_ref<const std::string&>();
            check(seen_.back().insert(key).second, what_, " has the name '", printable(key), "' twice");
        }
        return true;
    }

private:
    static constexpr std::size_t max_events = 5'000'000;  // those of 250,000 tensors; one takes about 30 bytes
    const std::string& what_;
    std::size_t events_ = 0;
    std::vector<std::set<std::string>> seen_;
};

}  // namespace

json parse_bounded_json(std::span<const uint8_t> text, const std::string& what) {
    Bounds bounds(what);
    const json::parser_callback_t callback = [&](int depth, json::parse_event_t event, json& parsed) {
        return bounds(depth, event, parsed);
    };
    try {
        json object = json::parse(text.begin(), text.end(), callback);
        check(object.is_object(), what, " is not a JSON object");
        return object;
    } catch (const json::exception&) {
        fail(what, " is not valid JSON");
    }
}

std::map<std::string, std::string> parse_metadata(const json& object, const std::string& what) {
    check(object.is_object(), what, " is not a JSON object");
    std::map<std::string, std::string> metadata;
    for (const auto& [key, value] : object.items()) {
        check(value.is_string(), what, " '", printable(key), "' is not a text");
        metadata[key] = value.get<std::string>();
    }
    return metadata;
}

bool is_utf8(const std::string& text) {
    try {
        static_cast<void>(json(text).dump());
        return true;
    } catch (const json::exception&) {
        return false;
    }
}

}  // namespace lethe
