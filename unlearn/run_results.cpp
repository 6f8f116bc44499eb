// What the files of a run hold.
#include <algorithm>
#include <cmath>

#include "tensor/error.h"
#include "unlearn/run.h"

namespace lethe {
namespace {

Json to_json(const Evaluation& evaluation) {
    Json per_class = Json::array();
    for (const Accuracy& accuracy : evaluation.per_class) per_class.push_back({accuracy.correct, accuracy.total});
    return {{"accuracy", evaluation.accuracy.percent()},
            {"correct", evaluation.accuracy.correct},
            {"total", evaluation.accuracy.total},
            {"loss", evaluation.loss},
            {"mean_margin", evaluation.mean_margin},
            {"max_margin", evaluation.max_margin},
            {"finite", evaluation.finite},
            {"per_class", per_class},
            {"wrong", evaluation.wrong}};
}

Evaluation evaluation_from(const Json& json) {
    Evaluation evaluation;
    evaluation.accuracy = {json.at("correct"), json.at("total")};
    const auto number = [&](const char* key) {
        return json.at(key).is_null() ? std::nan("") : json.at(key).get<double>();
    };
    evaluation.loss = number("loss");  // JSON has no NaN: it is written as null
    evaluation.mean_margin = number("mean_margin");
    evaluation.max_margin = number("max_margin");
    evaluation.finite = json.at("finite");
    for (const Json& entry : json.at("per_class")) evaluation.per_class.push_back({entry.at(0), entry.at(1)});
    evaluation.wrong = json.at("wrong").get<std::vector<int64_t>>();
    return evaluation;
}

}  // namespace

Verdict verdict_from(const std::string& text) {
    for (const Verdict verdict : {Verdict::forgotten, Verdict::not_forgotten, Verdict::diverged})
        if (text == name(verdict)) return verdict;
    fail("result file: unknown verdict '", text, "'");
}

Json to_json(const MethodResult& result) {
    return {{"method", result.method},
            {"data", result.data},
            {"D_f", result.forget.accuracy.percent()},
            {"D_r", result.retain.accuracy.percent()},
            {"D_test", result.test.accuracy.percent()},
            {"reemergence", result.reemergence},
            {"verdict", result.method == "before" ? "before" : name(result.verdict)},
            {"steps", result.steps},
            {"seconds", result.seconds},
            {"reason", result.reason},
            {"forget", to_json(result.forget)},
            {"retain", to_json(result.retain)},
            {"test", to_json(result.test)}};
}

MethodResult result_from(const Json& json) {
    MethodResult result;
    result.method = json.at("method");
    result.data = json.at("data");
    result.forget = evaluation_from(json.at("forget"));
    result.retain = evaluation_from(json.at("retain"));
    result.test = evaluation_from(json.at("test"));
    if (result.method != "before") result.verdict = verdict_from(json.at("verdict"));
    if (const Json share = json.value("reemergence", Json()); !share.is_null()) result.reemergence = share;
    result.reason = json.at("reason");
    result.steps = json.at("steps");
    result.seconds = json.at("seconds");
    return result;
}

Json results_json(const std::vector<MethodResult>& rows) {
    Json list = Json::array();
    for (const MethodResult& row : rows) {
        Json entry = to_json(row);
        for (const char* set : {"forget", "retain", "test"}) entry[set].erase("wrong");
        list.push_back(entry);
    }
    return list;
}

std::string results_csv(const std::vector<MethodResult>& rows) {
    std::string csv = "method,D_f,D_r,D_test,reemergence,verdict,steps,seconds\n";
    for (const MethodResult& row : rows)
        csv += concat(row.method, ",", row.forget.accuracy.percent(), ",", row.retain.accuracy.percent(), ",",
                      row.test.accuracy.percent(), ",", std::isnan(row.reemergence) ? "" : concat(row.reemergence), ",",
                      row.method == "before" ? "before" : name(row.verdict), ",", row.steps, ",", row.seconds, "\n");
    return csv;
}

std::vector<ResultBars> result_bars(const std::vector<MethodResult>& rows) {
    std::vector<ResultBars> bars;
    for (const MethodResult& row : rows)
        bars.push_back(
            {row.method, row.forget.accuracy.percent(), row.retain.accuracy.percent(), row.test.accuracy.percent()});
    return bars;
}

Json forget_set_json(const Dataset& source, const std::vector<int64_t>& forget) {
    Json images = Json::array();
    for (const int64_t index : forget) {
        const auto label = static_cast<std::size_t>(source.labels[static_cast<std::size_t>(index)]);
        images.push_back({{"index", index},
                          {"label", label},
                          {"class", source.class_names[label]},
                          {"sha256", sha256(source.image_bytes(index))}});
    }
    return {{"data", source.source}, {"split", name(source.split)}, {"images", images}};
}

Json attack_json(const std::vector<int64_t>& forget, const std::vector<int64_t>& targets,
                 const std::vector<PgdReport>& reports, double seconds) {
    Json report = Json::array();
    int64_t hits = 0;
    for (std::size_t i = 0; i < reports.size(); ++i) {
        const PgdReport& row = reports[i];
        hits += row.success ? 1 : 0;
        report.push_back({{"index", forget[i % forget.size()]},
                          {"target", targets[i]},
                          {"predicted", row.predicted},
                          {"hit", row.success},
                          {"loss", row.loss},
                          {"margin", row.margin},
                          {"norm", row.norm},
                          {"low", row.low},
                          {"high", row.high}});
    }
    return {{"seconds", seconds}, {"hits", hits}, {"rows", reports.size()}, {"report", report}};
}

Json inversion_json(const Inversion& inversion, int64_t hits, double seconds) {
    return {{"seconds", seconds},
            {"hits", hits},
            {"rows", inversion.labels.size()},
            {"loss", inversion.loss},
            {"statistics", inversion.statistics},
            {"labels", inversion.labels}};
}

}  // namespace lethe
