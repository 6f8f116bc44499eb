#include "unlearn/report/sections.h"

namespace lethe::report {
namespace {

std::string picture_id(std::size_t run, std::size_t image) {
    return "picture-" + std::to_string(run + 1) + "-" + std::to_string(image + 1);
}

}  // namespace

std::string verdict_html(const std::string& verdict) {
    if (verdict == name(Verdict::forgotten)) return element("span", "\u2713 forgotten", {{"class", "tag good"}});
    if (verdict == name(Verdict::diverged)) return element("span", "\u2715 diverged", {{"class", "tag bad"}});
    if (verdict == name(Verdict::not_forgotten)) return element("span", "\u25CB not forgotten", {{"class", "tag mid"}});
    return escaped(verdict);
}

std::string verdict_html(Verdict verdict) { return verdict_html(std::string(name(verdict))); }

std::string picture_store(const std::vector<RunRecord>& runs) {
    std::string pictures;
    for (std::size_t run = 0; run < runs.size(); ++run)
        for (std::size_t i = 0; i < runs[run].images.size(); ++i) {
            const ForgottenImage& image = runs[run].images[i];
            if (image.png.empty()) continue;
            Attributes attributes{{"id", picture_id(run, i)},
                                  {"width", std::to_string(image.width)},
                                  {"height", std::to_string(image.height)},
                                  {"href", data_uri("image/png", image.png)}};
            if (image.width <= 64) attributes.emplace_back("class", "pixels");  // enlarged: no blur
            pictures += element("image", "", attributes) + "\n";
        }
    if (pictures.empty()) return "";
    return element("svg", element("defs", "\n" + pictures), {{"class", "store"}, {"aria-hidden", "true"}}) + "\n";
}

std::string thumbnail(const std::vector<RunRecord>& runs, std::size_t run, std::size_t image) {
    const ForgottenImage& shown = runs[run].images[image];
    if (shown.png.empty()) return "";
    return element(
        "svg", element("use", "", {{"href", "#" + picture_id(run, image)}}),
        {{"class", "thumb"},
         {"viewBox", "0 0 " + std::to_string(shown.width) + " " + std::to_string(shown.height)},
         {"role", "img"},
         {"aria-label", runs[run].image_kind() + " " + std::to_string(shown.index) + ", " + shown.class_name}});
}

std::string of_run(const std::vector<RunRecord>& runs, const RunRecord& run) {
    return runs.size() > 1 ? " of " + run.name : "";
}

std::string run_heading(const std::vector<RunRecord>& runs, const RunRecord& run) {
    return runs.size() > 1 ? heading(3, run.name) : "";
}

int below_run(const std::vector<RunRecord>& runs) { return runs.size() > 1 ? 4 : 3; }

}  // namespace lethe::report
