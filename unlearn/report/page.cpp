#include "unlearn/report/page.h"

#include "tensor/error.h"
#include "unlearn/report/sections.h"

namespace lethe::report {
namespace {

std::vector<Section> sections_of(const Material& material) {
    Marks marks;
    const std::vector<RunRecord>& runs = material.runs;
    std::vector<Section> sections{{"runs", runs.size() == 1 ? "The run" : "The runs", heads(runs)},
                                  {"comparison", "Methods compared", comparison(runs, marks)},
                                  {"left", "What is left of the images", measured(runs)},
                                  {"steps", "Step by step", steps(runs, marks)},
                                  {"images", "The chosen images", images(runs)},
                                  {"others", "Other images that changed sides", collateral(runs)},
                                  {"margins", "Margins", margins(runs, marks)}};
    for (std::size_t i = 0; i < material.experiments.size(); ++i)
        sections.push_back({concat("experiment-", i + 1), "Experiment " + material.experiments[i].name,
                            experiment(material.experiments[i], marks)});
    for (std::size_t i = 0; i < material.continuals.size(); ++i)
        sections.push_back({concat("continual-", i + 1), "One request after another: " + material.continuals[i].name,
                            continual(material.continuals[i])});
    sections.push_back(
        {"limits", "What this page does not say",
         paragraph("\u201CForgotten\u201D says that the model no longer gives these images their label "
                   "(or, for relabel methods, gives them the new one). Their influence on the weights is "
                   "not removed, and the labels may come back for changed copies of the images or after "
                   "some steps of training. It is no evidence that a request for erasure has been "
                   "honoured.") +
             paragraph("The numbers are what the files in the folders say. lethe audit computes those of "
                       "a run again; this page does not.")});
    std::erase_if(sections, [](const Section& section) { return section.html.empty(); });
    return sections;
}

std::string subject(const Material& material) {
    std::string text;
    const auto add = [&](std::size_t count, const char* one, const char* many) {
        if (count > 0) text += (text.empty() ? "" : "; ") + (count == 1 ? one : concat(count, " ", many));
    };
    add(material.runs.size(), "a run that made a trained image classifier forget or relearn chosen images",
        "runs that made a trained image classifier forget or relearn chosen images");
    add(material.experiments.size(),
        "an experiment: many runs that made a classifier forget some of its training images",
        "experiments: many runs that made a classifier forget some of its training images");
    add(material.continuals.size(), "a sequence of requests to forget training images, one after the other",
        "sequences of requests to forget training images, one after the other");
    return text;
}

}  // namespace

std::string usual_title(const Material& material) {
    if (material.runs.size() + material.experiments.size() + material.continuals.size() > 1)
        return "Unlearning, compared";
    if (!material.experiments.empty()) return "Unlearning experiment " + material.experiments[0].name;
    if (!material.continuals.empty()) return "One request after another: " + material.continuals[0].name;
    if (material.runs.empty()) return "";
    return plural(static_cast<int64_t>(material.runs[0].images.size()), "image", "images") + " to be forgotten";
}

std::string page(const Material& material, const std::string& title) {
    check(!title.empty(), "report: a page needs a title and something to tell");
    const std::vector<Section> sections = sections_of(material);
    std::vector<std::string> links_html;
    std::string main;
    for (const Section& section : sections) {
        links_html.push_back(element("a", escaped(section.title), {{"href", "#" + section.id}}));
        main +=
            element("section",
                    "\n" + element("h2", escaped(section.title), {{"id", section.id + "-title"}}) + "\n" + section.html,
                    {{"id", section.id}, {"aria-labelledby", section.id + "-title"}}) +
            "\n";
    }
    return "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
           "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n" +
           element("title", escaped(title)) + "\n" + element("style", style_sheet) + "\n</head>\n<body>\n" +
           "<a class=\"skip\" href=\"#main\">Skip to the contents</a>\n<header>\n" + element("h1", escaped(title)) +
           "\n" + element("p", escaped(concat("What became of ", subject(material), ".")), {{"class", "lead"}}) + "\n" +
           element("nav", list(links_html), {{"aria-label", "Parts of this page"}}) + "\n</header>\n" +
           element("main", "\n" + picture_store(material.runs) + main, {{"id", "main"}}) + "\n" +
           element("footer",
                   paragraph("Written by lethe report, version " LETHE_VERSION ", from the files in the folders.")) +
           "\n</body>\n</html>\n";
}

}  // namespace lethe::report
