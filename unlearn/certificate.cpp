#include "unlearn/certificate.h"

#include <algorithm>

#include "data/file.h"
#include "tensor/error.h"
#include "unlearn/report/html.h"
#include "unlearn/run_manifest.h"

namespace lethe {
namespace {

constexpr const char* json_file = "certificate.json";
constexpr const char* html_file = "certificate.html";

// What a reader might take the certificate for.
Json not_claimed() {
    return {
        "That the model never saw the images. \"Forgotten\" means that it no longer gives them their label (or, for a "
        "relabel method, gives them the new one; in a correction, their own), by the criteria above and no others.",
        "That their influence on the weights is gone, or that the model is what training without them would give.",
        "That nobody can tell that they were in the training set: membership inference was not measured.",
        "That the labels stay forgotten: images shifted, flipped, cropped or recoloured, other precisions, pruning and "
        "further training were not measured.",
        "That a person's request for erasure has been honoured, or any guarantee such as differential privacy."};
}

Json threat_model() {
    return {
        "The auditor has the data, the weights before and this program, and believes nothing in the run directory: "
        "every count, loss and margin, the forget set, the adversarial images and the importance were computed again.",
        "Taken from the run, because nothing else tells: seconds, times, the losses and counts of the steps before the "
        "last, and that the saved weights came from these steps and not from another procedure. Repeating the run with "
        "its config.json settles the latter.",
        "Whoever can write the run directory can make a consistent run with other contents. Who made it, and when, "
        "only "
        "a signature or a copy of the hash of manifest.json kept elsewhere can tell."};
}

Json set_json(const Evaluation& evaluation) {
    return {{"correct", evaluation.accuracy.correct},
            {"total", evaluation.accuracy.total},
            {"accuracy", evaluation.accuracy.percent()}};
}

Json sets_json(const MethodResult& result) {
    return {{"D_f", set_json(result.forget)}, {"D_r", set_json(result.retain)}, {"D_test", set_json(result.test)}};
}

Json method_json(const AuditedMethod& method) {
    Json criteria = Json::array();
    for (const Criterion& criterion : method.criteria)
        criteria.push_back({{"criterion", criterion.rule}, {"found", criterion.found}, {"met", criterion.met}});
    Json json{{"method", method.result.method},
              {"data", method.result.data},
              {"verdict", name(method.result.verdict)},
              {"reason", method.result.reason},
              {"steps", method.result.steps},
              {"weights_sha256", method.weights_sha256},
              {"criteria", criteria}};
    json.update(sets_json(method.result));
    return json;
}

using report::escaped;

std::string text_of(const Json& value) {
    return escaped(value.is_string() ? value.get<std::string>()
                                     : value.dump(-1, ' ', false, Json::error_handler_t::replace));
}

constexpr const char* style = R"(
:root{color-scheme:light dark;--ink:#1c1c22;--soft:#5b5b66;--line:#d5d5dc;--paper:#fff;--good:#17683a;--bad:#a32020}
@media (prefers-color-scheme:dark){:root{--ink:#e8e8ee;--soft:#a4a4b0;--line:#3b3b46;--paper:#17171c;--good:#6fce97;
--bad:#ff8f8f}}
body{font:16px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);max-width:56rem;margin:2rem auto;
padding:0 1rem}
h1{font-size:1.6rem;margin-bottom:0}h2{font-size:1.1rem;margin:2rem 0 .4rem;border-bottom:1px solid var(--line)}
p.lead{color:var(--soft);margin-top:.2rem}table{border-collapse:collapse;width:100%;font-size:.9rem}
th,td{text-align:left;vertical-align:top;padding:.25rem .6rem .25rem 0;border-bottom:1px solid var(--line)}
code{font-size:.85em;overflow-wrap:anywhere}.good{color:var(--good)}.bad{color:var(--bad)}
@media (max-width:32rem){body{margin:1rem auto}table{font-size:.75rem}th,td{padding-right:.4rem}}
@media print{:root{--ink:#000;--soft:#333;--line:#999;--paper:#fff;--good:#000;--bad:#000}
body{font-size:10pt;margin:0;max-width:none}h2{break-after:avoid}tr,li{break-inside:avoid}}
)";

class Page {
public:
    explicit Page(const Json& certificate) : certificate_(certificate) {}
    std::string html();

private:
    std::string summary() const;
    std::string methods() const;
    std::string forget_set() const;
    std::string checks() const;

    static std::string heading(const std::string& text) { return "<h2>" + escaped(text) + "</h2>\n"; }
    static std::string row(const std::vector<std::string>& cells, const char* tag = "td") {
        std::string html = "<tr>";
        for (const std::string& cell : cells) html += concat("<", tag, ">", cell, "</", tag, ">");
        return html + "</tr>\n";
    }
    static std::string code(const Json& value) { return "<code>" + text_of(value) + "</code>"; }
    // Two columns: keys and values.
    static std::string pairs(const Json& object) {
        std::string html = "<table>\n";
        for (const auto& [key, value] : object.items()) html += row({escaped(key), code(value)});
        return html + "</table>\n";
    }
    static std::string list(const Json& sentences) {
        std::string html = "<ul>\n";
        for (const Json& sentence : sentences) html += "<li>" + text_of(sentence) + "</li>\n";
        return html + "</ul>\n";
    }
    static std::string share(const Json& set) {
        return concat(set.at("correct").get<int64_t>(), " of ", set.at("total").get<int64_t>());
    }

    const Json& certificate_;
};

std::string Page::html() {
    std::string html =
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
        "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n"
        "<title>Forgetting certificate</title><style>";
    html += concat(style, "</style></head>\n<body>\n<h1>Forgetting certificate</h1>\n");
    html += summary() + methods();
    html += heading("What is not claimed") + list(certificate_.at("not_claimed"));
    html += heading("Who could still deceive") + list(certificate_.at("threat_model"));
    html += forget_set() + checks();
    for (const auto& [title, key] : {std::pair{"Weights", "weights"},
                                     {"Data", "data"},
                                     {"Made by", "made_by"},
                                     {"Audited by", "audited_by"},
                                     {"Switches", "switches"},
                                     {"Configuration", "configuration"}})
        html += heading(title) + pairs(certificate_.at(key));
    return html + "</body></html>\n";
}

std::string Page::summary() const {
    int64_t forgotten = 0;
    const Json& methods = certificate_.at("methods");
    for (const Json& method : methods) forgotten += method.at("verdict") == name(Verdict::forgotten) ? 1 : 0;
    const bool corrects = certificate_.at("data").at("corrects");
    return concat("<p class=\"lead\">", certificate_.at("forget_set").size(), " images; ", forgotten, " of ",
                  methods.size(), " methods ", corrects ? "corrected" : "forgot", " them. Audited ",
                  text_of(certificate_.at("time")), "; numbers compared ", text_of(certificate_.at("compared")),
                  ".<br>SHA-256 of manifest.json: ", code(certificate_.at("manifest_sha256")), "</p>\n");
}

std::string Page::methods() const {
    std::string html = heading("Verdicts") + "<table>\n" +
                       row({"weights", "verdict", "D_f correct", "D_r correct", "D_test correct"}, "th");
    const Json& before = certificate_.at("before");
    html += row({"before", "", share(before.at("D_f")), share(before.at("D_r")), share(before.at("D_test"))});
    for (const Json& method : certificate_.at("methods"))
        html += row({text_of(method.at("method")), text_of(method.at("verdict")), share(method.at("D_f")),
                     share(method.at("D_r")), share(method.at("D_test"))});
    html += "</table>\n";
    for (const Json& method : certificate_.at("methods")) {
        html += concat("<h3>", text_of(method.at("method")), "</h3>\n<p>", text_of(method.at("reason")), "; looked at ",
                       text_of(method.at("data")), "; weights ", code(method.at("weights_sha256")), "</p>\n<table>\n");
        for (const Json& criterion : method.at("criteria")) {
            const bool met = criterion.at("met");
            html += row({text_of(criterion.at("criterion")), text_of(criterion.at("found")),
                         met ? "<span class=\"good\">met</span>" : "<span class=\"bad\">not met</span>"});
        }
        html += "</table>\n";
    }
    return html;
}

std::string Page::forget_set() const {
    const Json& data = certificate_.at("data");
    std::string html =
        heading(concat(data.at("corrects").get<bool>() ? "Images corrected" : "Images forgotten", " (D_f), of the ",
                       data.at("forget_split") == "test" ? "test" : "training", " set")) +
        "<table>\n" + row({"index", "class", "SHA-256"}, "th");
    for (const Json& image : certificate_.at("forget_set"))
        html += row({text_of(image.at("index")), text_of(image.at("class")), code(image.at("sha256"))});
    return html + "</table>\n";
}

std::string Page::checks() const {
    std::string html = heading("What was checked") + "<table>\n";
    for (const Json& check : certificate_.at("checks"))
        html += row({text_of(check.at("check")), text_of(check.at("question")), "<span class=\"good\">holds</span>"});
    return html + "</table>\n";
}

}  // namespace

Json make_certificate(const AuditReport& report, const AuditSubject& subject, const std::string& manifest_sha256,
                      const Json& auditor) {
    check(report.accepted(), "audit: a run with failed checks gets no certificate");
    Json methods = Json::array(), checks = Json::array(), weights{{"before", subject.inputs.at("weights_sha256")}};
    for (const AuditedMethod& method : report.methods) {
        methods.push_back(method_json(method));
        weights[method.result.method] = method.weights_sha256;
    }
    for (const AuditCheck& check : report.checks)
        checks.push_back({{"check", check.name}, {"question", check.question}});
    Json made_by = report.environment, audited_by = auditor;
    made_by["program_sha256"] = report.manifest.at("program_sha256");
    audited_by["program_sha256"] = program_sha256();
    return {{"certificate", "lethe forgetting certificate, version 1"},
            {"time", auditor.at("time")},
            {"manifest_sha256", manifest_sha256},
            {"compared", report.exact ? std::string("exactly")
                                      : concat("counts exactly, losses and margins within ", audit_tolerance)},
            {"data",
             {{"source", subject.config.at("data")},
              {"train_sha256", subject.inputs.at("train_sha256")},
              {"test_sha256", subject.inputs.at("test_sha256")},
              {"forget_split", name(subject.options.forget_split)},
              {"corrects", subject.options.corrects()}}},
            {"forget_set", report.forget_set.at("images")},
            {"weights", weights},
            {"before", sets_json(report.before)},
            {"methods", methods},
            {"switches", subject.inputs.at("switches")},
            {"configuration", subject.config},
            {"made_by", made_by},
            {"audited_by", audited_by},
            {"checks", checks},
            {"not_claimed", not_claimed()},
            {"threat_model", threat_model()}};
}

std::string certificate_html(const Json& certificate) { return Page(certificate).html(); }

void write_certificate(const std::filesystem::path& folder, const Json& certificate) {
    std::error_code error;
    std::filesystem::create_directories(folder, error);
    check(!error, "audit: folder ", folder.string(), " cannot be created: ", error.message());
    write_text(folder / html_file, certificate_html(certificate));
    write_text(folder / json_file, certificate.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
}

bool remove_certificate(const std::filesystem::path& folder) {
    std::error_code ignored;
    const bool page = std::filesystem::remove(folder / html_file, ignored);
    return std::filesystem::remove(folder / json_file, ignored) || page;
}

}  // namespace lethe
