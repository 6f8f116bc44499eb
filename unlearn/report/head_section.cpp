// What each run was told to do, and what became of it, in sentences.
#include <algorithm>
#include <map>

#include "tensor/error.h"
#include "unlearn/report/sections.h"

namespace lethe::report {
namespace {

constexpr std::size_t most_thumbs = 16;

std::string side_effect(const MethodRecord& method, const RunRecord& run) {
    const double lost = run.before.test.accuracy.percent() - method.result.test.accuracy.percent();
    const std::string change = fixed(std::abs(lost), 2) == "0.00" ? "as many as before"
                               : lost > 0                         ? fixed(lost, 2) + " points fewer than before"
                                                                  : fixed(-lost, 2) + " points more than before";
    return concat("Of the test images ", percent(method.result.test.accuracy), " are right, ", change, ".");
}

// What a method did, in words that need no table.
std::string still_recognised(const Accuracy& forget) {
    if (forget.total == 1)
        return forget.correct == 1 ? "the image is still recognised" : "the image is recognised no more";
    if (forget.correct == 0) return concat("none of the ", grouped(forget.total), " images is recognised any more");
    return concat(grouped(forget.correct), " of the ", grouped(forget.total), " images ",
                  forget.correct == 1 ? "is" : "are", " still recognised");
}

std::string sentence_html(const MethodRecord& method, const RunRecord& run) {
    const MethodResult& result = method.result;
    std::string text =
        concat("after ", plural(result.steps, "step", "steps"), " (", fixed(result.seconds, 1), "\u00A0s) ");
    if (result.verdict == Verdict::diverged)
        text += concat("the model is no classifier any more (", result.reason, ").");
    else
        text += concat(
            run.relabels(method) && result.verdict == Verdict::forgotten ? "every image is given its new label, " : "",
            still_recognised(result.forget.accuracy), ". ", side_effect(method, run));
    return element("strong", escaped(result.method)) + " " + verdict_html(result.verdict) + ": " + escaped(text);
}

// "2 bird, 1 cat": the most frequent first.
std::string classes_of(const RunRecord& run) {
    std::map<std::string, int64_t> counts;
    for (const ForgottenImage& image : run.images) ++counts[image.class_name];
    std::vector<std::pair<std::string, int64_t>> sorted(counts.begin(), counts.end());
    std::stable_sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) { return a.second > b.second; });
    std::string text;
    for (std::size_t i = 0; i < std::min<std::size_t>(sorted.size(), 12); ++i)
        text += concat(text.empty() ? "" : ", ", sorted[i].second, " ", sorted[i].first);
    return text + (sorted.size() > 12 ? concat(", and ", sorted.size() - 12, " more classes") : "");
}

std::string indices_of(const RunRecord& run) {
    std::string text;
    const std::size_t shown = std::min<std::size_t>(run.images.size(), 24);
    for (std::size_t i = 0; i < shown; ++i) text += concat(i == 0 ? "" : ", ", run.images[i].index);
    return text + (run.images.size() > shown ? concat(", and ", run.images.size() - shown, " more") : "");
}

std::string thumbs_of(const std::vector<RunRecord>& runs, std::size_t run) {
    if (!runs[run].no_pictures.empty()) return paragraph("Without pictures: " + runs[run].no_pictures + ".");
    std::string html;
    const std::size_t images = runs[run].images.size(), shown = std::min(images, most_thumbs);
    for (std::size_t i = 0; i < shown; ++i) html += thumbnail(runs, run, i);
    if (images > shown) html += element("small", concat("and ", images - shown, " more"));
    return element("div", html, {{"class", "thumbs"}}) + "\n";
}

std::string pairs_html(const std::vector<std::pair<std::string, std::string>>& pairs) {
    std::string html;
    for (const auto& [what, value] : pairs)
        if (!value.empty()) html += element("dt", escaped(what)) + element("dd", escaped(value)) + "\n";
    return element("dl", "\n" + html) + "\n";
}

std::string text_value(const Json& value) { return value.is_string() ? value.get<std::string>() : value.dump(); }

std::string options_html(const RunRecord& run) {
    std::vector<std::pair<std::string, std::string>> rows;
    for (const auto& [key, value] : run.config.items())
        if (text_value(value) != "" && key != "command")
            rows.emplace_back(key, element("code", escaped(text_value(value))));
    for (const auto& [key, value] : run.inputs.at("switches").items())
        rows.emplace_back("switch " + key, element("code", escaped(text_value(value))));
    return details("Options and switches", facts("Every option of " + run.name + ", defaults included", rows));
}

std::string origin_html(const RunRecord& run) {
    std::vector<std::pair<std::string, std::string>> rows;
    const auto add = [&](const std::string& what, const std::string& value) {
        rows.emplace_back(what, element("code", escaped(value)));
    };
    add("manifest.json", run.manifest_sha256);
    add("weights before", run.inputs.at("weights_sha256"));
    for (const MethodRecord& method : run.methods) add("weights after " + method.result.method, method.weights_sha256);
    add("training images", run.inputs.at("train_sha256"));
    add("test images", run.inputs.at("test_sha256"));
    std::string html = facts("SHA-256 of what went into " + run.name + " and came out of it", rows);
    rows.clear();
    for (const auto& [key, value] : run.environment.items()) rows.emplace_back(key, escaped(text_value(value)));
    html += rows.empty() ? paragraph("Where it was made is not known: there is no environment.json.")
                         : facts("Where and when " + run.name + " was made", rows);
    return details("Hashes and origin", html);
}

std::string manifest_html(const RunRecord& run) {
    if (run.findings.empty())
        return element("p",
                       "Every file is as its manifest says. Whether what they say is true, "
                       "<code>lethe audit</code> tells.") +
               "\n";
    std::vector<std::string> findings_html;
    for (const std::string& finding : run.findings) findings_html.push_back(escaped(finding));
    return element("div",
                   "<p><strong>The folder is not as the run left it</strong>, so do not rely on what follows:</p>\n" +
                       list(findings_html),
                   {{"class", "note warn"}}) +
           "\n";
}

std::string head(const std::vector<RunRecord>& runs, std::size_t index) {
    const RunRecord& run = runs[index];
    std::vector<std::string> verdicts_html;
    for (const MethodRecord& method : run.methods) verdicts_html.push_back(sentence_html(method, run));
    const auto images = static_cast<int64_t>(run.images.size());
    const std::string model = run.option("model").empty() ? "as in the weights file" : run.option("model");
    const std::string told =
        pairs_html({{run.corrects() ? "corrects" : "forgets",
                     concat(plural(images, run.image_kind(), run.image_kind() + "s"), ": ", classes_of(run))},
                    {"indices", indices_of(run)},
                    {"chosen by", run.option("forget")},
                    {"data", run.option("data")},
                    {"model", model + (run.option("weights").empty() ? "" : ", " + run.option("weights"))},
                    {"protocol", concat(run.option("protocol"), run.option("switches").empty() ? "" : ", with ",
                                        run.option("switches"))},
                    {"seed", run.option("seed")}});
    const std::string html = heading(3, run.name) + thumbs_of(runs, index) +
                             element("div", "\n" + list(verdicts_html, "verdicts") + told, {{"class", "halves"}}) +
                             "\n" + manifest_html(run) + options_html(run) + origin_html(run);
    return element("article", "\n" + html, {{"class", "card"}}) + "\n";
}

}  // namespace

std::string heads(const std::vector<RunRecord>& runs) {
    std::string html;
    for (std::size_t i = 0; i < runs.size(); ++i) html += head(runs, i);
    return html.empty() ? "" : element("div", "\n" + html, {{"class", "grid"}}) + "\n";
}

}  // namespace lethe::report
