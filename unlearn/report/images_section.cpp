// The images of D_f one by one: what they are called now, and the dossier of each.
#include <algorithm>

#include "tensor/error.h"
#include "unlearn/report/sections.h"

namespace lethe::report {
namespace {

std::string image_name(const ForgottenImage& image) { return concat("#", image.index, ", ", image.class_name); }

// "bird", and whether that is still its label.
std::string called_html(const RunRecord& run, const ForgottenImage& image, const ImageView& view) {
    const std::string called = escaped(run.class_name(view.predicted));
    return view.predicted == image.label
               ? element("span", called + " \u25CF", {{"class", "bad"}, {"title", "still recognised"}})
               : called;
}

bool has_fates(const RunRecord& run) {
    return std::any_of(run.methods.begin(), run.methods.end(), [](const MethodRecord& m) { return !m.fates.empty(); });
}

std::string sheet(const std::vector<RunRecord>& runs, std::size_t index) {
    const RunRecord& run = runs[index];
    std::vector<std::string> cells_html;
    for (std::size_t i = 0; i < std::min(run.images.size(), most_images); ++i) {
        const ForgottenImage& image = run.images[i];
        std::vector<std::string> answers_html;
        for (const MethodRecord& method : run.methods)
            if (!method.fates.empty())
                answers_html.push_back(escaped(method.result.method) + ": " +
                                       called_html(run, image, method.fates[i].after));
        cells_html.push_back(thumbnail(runs, index, i) +
                             element("div", element("p", element("strong", escaped(image.class_name)) + " " +
                                                             element("small", concat("#", image.index))) +
                                                list(answers_html)));
    }
    return list(cells_html, "sheet");
}

std::string change_html(double before, double after, int digits) {
    return fixed(before, digits) + " \u2192 " + fixed(after, digits);
}

std::string step_text(const std::optional<int64_t>& step) {
    if (!step) return "never";
    return *step == 0 ? "before the first step" : concat("step ", grouped(*step));
}

// The share of changed copies of the image that a method's model gives the old label; empty where it was not measured.
std::string reemerged(const RunRecord& run, const std::string& method, std::size_t image) {
    for (const MeasuredArm& arm : run.arms)
        if (arm.name == method && image < arm.reemergence.size())
            return fixed(100 * arm.reemergence[image], 1) + "\u00A0%";
    return "\u2013";
}

std::string dossier(const std::vector<RunRecord>& runs, std::size_t index, std::size_t i) {
    const RunRecord& run = runs[index];
    const ForgottenImage& image = run.images[i];
    std::vector<Column> columns{
        {"method", false}, {"now called", false}, {"probability of its label, %"}, {"rank of it"}, {"margin"},
        {"first lost"},    {"lost for good"}};
    if (!run.arms.empty()) columns.push_back({"re-emerges"});
    Table table(
        "Dossier of " + run.image_kind() + " " + image_name(image) + of_run(runs, run) + ": before \u2192 after",
        columns);
    for (const MethodRecord& method : run.methods) {
        if (method.fates.empty()) continue;
        const Fate& fate = method.fates[i];
        std::vector<std::string> cells{called_html(run, image, fate.after),
                                       change_html(100 * fate.before.probability, 100 * fate.after.probability, 2),
                                       concat(fate.before.rank, " \u2192 ", fate.after.rank),
                                       change_html(fate.before.margin, fate.after.margin, 2),
                                       step_text(fate.first_lost),
                                       step_text(fate.lost_for_good)};
        if (!run.arms.empty()) cells.push_back(reemerged(run, method.result.method, i));
        table.row(escaped(method.result.method), cells);
    }
    return details(thumbnail(runs, index, i) + escaped(image_name(image)),
                   table.html() + element("p", "SHA-256 of its pixels: " + element("code", escaped(image.sha256))));
}

std::string attack_sheet(const std::vector<RunRecord>& runs, const RunRecord& run) {
    const std::string title = "Adversarial images" + of_run(runs, run);
    if (!run.attack) return "";
    const std::string hits = concat(grouped(run.attack->hits), " of ", grouped(run.attack->rows),
                                    " adversarial images are taken for the class they were made for.");
    if (run.attack->sheet.empty())
        return heading(below_run(runs), title) + paragraph(hits + " There is no attack.png to show some of them.");
    const std::string alternative =
        concat("Images of D_f, their adversarial twins and the magnified differences", of_run(runs, run), ". ", hits);
    const std::string picture = "<img class=\"wide\" alt=\"" + escaped(alternative) + "\" src=\"" +
                                data_uri("image/png", run.attack->sheet) + "\">";
    return heading(below_run(runs), title) +
           figure(picture, "Original, adversarial twin, difference (grey is none)" + element("small", escaped(hits)));
}

std::string images_of(const std::vector<RunRecord>& runs, std::size_t index) {
    const RunRecord& run = runs[index];
    std::string html = run_heading(runs, run);
    if (run.images.size() > most_images)
        html += paragraph(concat("The first ", most_images, " of ", grouped(static_cast<int64_t>(run.images.size())),
                                 " images are shown; METHOD/dossier.json has all of them."));
    html += sheet(runs, index);
    if (has_fates(run)) {
        html += heading(below_run(runs), "Dossiers" + of_run(runs, run));
        for (std::size_t i = 0; i < std::min(run.images.size(), most_images); ++i) html += dossier(runs, index, i);
    } else {
        html += paragraph("What the methods call them is not known: there is no METHOD/dossier.json.");
    }
    return html + attack_sheet(runs, run);
}

}  // namespace

std::string images(const std::vector<RunRecord>& runs) {
    if (runs.empty()) return "";
    std::string html = element("p",
                               "What each method calls the images of D_f now. A class with <span class=\"bad\">\u25CF"
                               "</span> is the image's own label: it is still recognised.") +
                       "\n";
    for (std::size_t i = 0; i < runs.size(); ++i) html += images_of(runs, i);
    return html;
}

}  // namespace lethe::report
