#include "unlearn/report/measured.h"

#include <cmath>

#include "tensor/error.h"
#include "unlearn/metrics/metric.h"
#include "unlearn/report/html.h"
#include "unlearn/report/record_file.h"

namespace lethe::report {
namespace {

std::string share(const Json& json) { return fixed(100 * number_or_nan(json), 1) + "\u00A0%"; }
std::string number(const Json& json, int digits = 3) { return fixed(number_or_nan(json), digits); }

Reading relearn_reading(const Json& json) {
    if (!json.at("finite").get<bool>()) return {"\u2013", {"its loss left the finite numbers"}};
    return {(json.at("reached").get<bool>() ? "" : "> ") + plural(json.at("steps"), "step", "steps")};
}

Reading reemergence_reading(const Json& json) {
    Reading reading{share(json.at("mean"))};
    double most = 0;
    for (const Json& view : json.at("views")) {
        if (!view.at("changes").get<bool>() || view.at("share").get<double>() <= most) continue;
        most = view.at("share");
        reading.notes = {concat("most: ", view.at("view").get<std::string>(), " ", share(view.at("share")))};
    }
    return reading;
}

// The first level's numbers and texts, by name.
Reading plain_reading(const Json& json) {
    if (json.is_number()) return {number(json)};
    Reading reading;
    for (const auto& [name, value] : json.items()) {
        if (!value.is_primitive() || value.is_null()) continue;
        const std::string text = value.is_number_float() ? number(value)
                                 : value.is_string()     ? value.get<std::string>()
                                                         : value.dump();
        if (reading.value.empty())
            reading.value = text;
        else
            reading.notes.push_back(name + " " + text);
    }
    return reading.value.empty() ? Reading{"\u2013"} : reading;
}

Reading reading_of(const std::string& metric, const Json& json) {
    if (json.is_null()) return {"\u2013", {"too few images"}};
    if (metric == "reemergence") return reemergence_reading(json);
    if (metric == "loss-attack")
        return {number(json.at("forget").at("auc")), {"D_r: " + number(json.at("retain").at("auc"))}};
    if (metric == "logistic-attack") return {number(json.at("balanced_accuracy"))};
    if (metric == "svc-attack")
        return {share(json.back().at("forget_out")),
                {"D_test: " + share(json.back().at("test_out")), "attack: " + share(json.back().at("accuracy"))}};
    if (metric.starts_with("relearn")) return relearn_reading(json);
    if (metric == "margins")
        return {number(json.at("forget").at("margin").at("median"), 2),
                {"D_test: " + number(json.at("test").at("margin").at("median"), 2)}};
    if (metric == "activation-distance")
        return {number(json.at("test")), {"D_r: " + number(json.at("retain")), "D_f: " + number(json.at("forget"))}};
    if (metric == "zrf") return {number(json.at("forget")), {"D_test: " + number(json.at("test"))}};
    if (metric == "weight-distance")
        return {number(json.at("parameters").at("l2")),
                {"relative: " + number(json.at("parameters").at("relative"), 4)}};
    return plain_reading(json);
}

Quantiles quantiles_from(const Json& json) {
    const auto at = [&](const char* key) { return number_or_nan(json.at(key)); };
    return {.minimum = at("min"),
            .q05 = at("q05"),
            .q25 = at("q25"),
            .median = at("median"),
            .q75 = at("q75"),
            .q95 = at("q95"),
            .maximum = at("max"),
            .mean = at("mean")};
}

}  // namespace

MeasuredArm measured_arm(const Json& json) {
    MeasuredArm arm;
    arm.name = json.at("arm");
    arm.diverged = json.at("diverged");
    for (const Metric& metric : metrics())
        if (json.contains(metric.name)) arm.readings[metric.name] = reading_of(metric.name, json.at(metric.name));
    if (json.contains("margins"))
        for (const char* set : {"forget", "retain", "test"})
            arm.margins[set] = quantiles_from(json.at("margins").at(set).at("margin"));
    if (json.contains("reemergence"))
        for (const Json& image : json.at("reemergence").at("images"))
            arm.reemergence.push_back(number_or_nan(image.at("share")));
    return arm;
}

}  // namespace lethe::report
