#include "unlearn/audit_compare.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>

#include "tensor/error.h"

namespace lethe {
namespace {

// Whole lists and objects are not printed: what is claimed may be of any size.
std::string brief(const Json& value) {
    if (value.is_object()) return "an object";
    if (value.is_array()) return concat("a list of ", value.size());
    const std::string text = value.dump(-1, ' ', true, Json::error_handler_t::replace);
    return text.size() <= 120 ? text : text.substr(0, 120) + "...";
}

bool is_measured(std::string_view key) {
    static constexpr std::array<std::string_view, 8> keys{"probability", "p_value",    "loss",       "margin",
                                                          "mean_margin", "max_margin", "min_margin", "norm"};
    return std::find(keys.begin(), keys.end(), key) != keys.end();
}

class Comparison {
public:
    Comparison(double tolerance, std::vector<std::string>& findings) : tolerance_(tolerance), findings_(findings) {}

    void compare(const Json& claimed, const Json& recomputed, const std::string& where, std::string_view key);
    void say_how_many_more() const {
        if (differences_ > most) findings_.push_back(concat("and ", differences_ - most, " more differences"));
    }

private:
    static constexpr int64_t most = 4;

    void differs(const std::string& where, const std::string& claimed, const std::string& recomputed) {
        if (++differences_ <= most)
            findings_.push_back(concat(where, " is ", claimed, "; recomputed it is ", recomputed));
    }
    bool equal(const Json& claimed, const Json& recomputed, std::string_view key) const;

    double tolerance_;
    std::vector<std::string>& findings_;
    int64_t differences_ = 0;
};

bool Comparison::equal(const Json& claimed, const Json& recomputed, std::string_view key) const {
    if (claimed.is_number() != recomputed.is_number() || claimed.is_boolean() != recomputed.is_boolean()) return false;
    if (!recomputed.is_number_float() || !is_measured(key)) return claimed == recomputed;
    const double a = claimed.get<double>(), b = recomputed.get<double>();
    return std::abs(a - b) <= tolerance_ * std::max(1.0, std::abs(b));
}

void Comparison::compare(const Json& claimed, const Json& recomputed, const std::string& where, std::string_view key) {
    if (recomputed.is_object() && claimed.is_object()) {
        for (const auto& [name, value] : recomputed.items()) {
            if (claimed.contains(name))
                compare(claimed.at(name), value, concat(where, ": ", name), name);
            else
                differs(concat(where, ": ", name), "missing", brief(value));
        }
        for (const auto& [name, value] : claimed.items())
            if (!recomputed.contains(name)) differs(concat(where, ": ", name), brief(value), "nothing that is there");
    } else if (recomputed.is_array() && claimed.is_array()) {
        if (claimed.size() != recomputed.size()) return differs(where, brief(claimed), brief(recomputed));
        for (std::size_t i = 0; i < recomputed.size(); ++i)
            compare(claimed.at(i), recomputed.at(i), concat(where, "[", i, "]"), key);
    } else if (!equal(claimed, recomputed, key)) {
        differs(where, brief(claimed), brief(recomputed));
    }
}

// NaN becomes null, as in a file.
Json as_written(const Json& value) { return Json::parse(value.dump(-1, ' ', false, Json::error_handler_t::replace)); }

}  // namespace

void compare_json(const Json& claimed, const Json& recomputed, const std::string& where, double tolerance,
                  std::vector<std::string>& findings) {
    Comparison comparison(tolerance, findings);
    comparison.compare(claimed, as_written(recomputed), where, "");
    comparison.say_how_many_more();
}

}  // namespace lethe
