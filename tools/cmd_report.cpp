#include <filesystem>
#include <iostream>

#include "data/file.h"
#include "data/image_file.h"
#include "data/resize.h"
#include "data/weights.h"
#include "tensor/error.h"
#include "tools/command.h"
#include "unlearn/manifest.h"
#include "unlearn/report/page.h"

namespace lethe::tools {
namespace {

using report::FolderKind;
using report::ForgottenImage;
using report::RunRecord;

class ReportCommand : public Command {
public:
    explicit ReportCommand(CLI::App& root)
        : Command(root, "report", "a page for people from finished runs, experiments and sequences of requests",
                  "lethe report runs/unlearn --title \"Sixteen images\"\n"
                  "  lethe report runs/reference runs/recommended --out comparison.html") {
        app()
            .add_option("RUN", folders,
                        "run directories of lethe unlearn that have ended, folders of lethe experiment and of lethe "
                        "continual")
            ->required();
        option("out", out, "file to write; default: report.html in the first RUN")->type_name("FILE");
        option("title", title, "the page's heading; default: what was forgotten");
        option("data", data, "where the images of all runs are now; default: where they were");
    }

    // It computes nothing that a device is for.
    int start() override { return run(); }

protected:
    int run() override;

private:
    void add_pictures(RunRecord& run);
    void load_images_of(const RunRecord& run);

    std::vector<std::string> folders;
    std::string out, title, data;
    std::string loaded_key;  // which images `loaded` holds
    Dataset loaded;
};

constexpr int64_t picture_side = 96;  // of the longer side, at most

void add_picture(ForgottenImage& image, const std::string& kind, const Dataset& images) {
    check(image.index >= 0 && image.index < images.size(), "there is no ", kind, " ", image.index);
    std::vector<uint8_t> pixels = images.image_bytes(image.index);
    check(sha256(pixels) == image.sha256, kind, " ", image.index, " is not the one that was forgotten");
    ImageBytes picture{images.height, images.width, std::move(pixels)};
    if (const int64_t longer = std::max(picture.height, picture.width); longer > picture_side)
        picture = resize(picture, std::max<int64_t>(1, picture.height * picture_side / longer),
                         std::max<int64_t>(1, picture.width * picture_side / longer), Interpolation::bilinear);
    image.png = encode_png(picture.height, picture.width, picture.pixels);
    image.height = picture.height;
    image.width = picture.width;
}

// The training or test images as `lethe unlearn` saw them. The run's own weights say which transform they need.
void ReportCommand::load_images_of(const RunRecord& run) {
    data_source = data.empty() ? run.option("data") : data;
    transform = run.option("transform");
    if (const std::string text = run.option("corrupt"); !text.empty()) corrupt = text;
    image_size = run.config.value("image-size", int64_t{0});
    ModelSpec spec;
    for (const report::MethodRecord& method : run.methods) {
        const std::string file =
            (std::filesystem::path(run.folder) / method.result.method / "weights.safetensors").string();
        if (!is_file(file)) continue;
        spec = agreed_spec(file, read_weights(file).metadata, {});
        break;
    }
    const std::string key = concat(data_source, "|", name(run.split), "|", transform, "|", spec.transform, "|", corrupt,
                                   "|", image_size, "|", spec.arch, "|", spec.image_size, "|", spec.stem);
    if (key == loaded_key) return;
    loaded_key.clear();
    loaded = load_data(run.split, spec);
    loaded_key = key;
}

// The page is complete without them: what keeps them away is said on it.
void ReportCommand::add_pictures(RunRecord& run) {
    try {
        load_images_of(run);
        run.class_names = loaded.class_names;
        for (std::size_t i = 0; i < std::min(run.images.size(), report::most_images); ++i)
            add_picture(run.images[i], run.image_kind(), loaded);
        run.no_pictures.clear();
    } catch (const std::exception& error) {
        for (ForgottenImage& image : run.images) image.png.clear();
        run.no_pictures = error.what();
        std::cerr << "lethe: warning: " << run.folder << " is shown without pictures: " << error.what() << "\n";
    }
}

int ReportCommand::run() {
    report::Material material;
    for (const std::string& folder : folders) switch (report::kind_of(folder)) {
            case FolderKind::run:
                material.runs.push_back(report::read_run(folder));
                break;
            case FolderKind::experiment:
                material.experiments.push_back(report::read_experiment(folder));
                break;
            case FolderKind::continual:
                material.continuals.push_back(report::read_continual(folder));
                break;
        }
    for (RunRecord& run : material.runs) {
        for (const std::string& finding : run.findings)
            std::cerr << "lethe: warning: " << run.folder << ": " << finding << "\n";
        add_pictures(run);
    }
    const std::string html = report::page(material, title.empty() ? report::usual_title(material) : title);
    const std::filesystem::path file =
        out.empty() ? std::filesystem::path(folders[0]) / "report.html" : std::filesystem::path(out);
    write_text(file, html);
    say(concat("written: ", file.string(), " (", (html.size() + 1023) / 1024, " KiB)"));
    write_json_option({{"report", file.string()}, {"runs", folders}});
    return 0;
}

}  // namespace

std::unique_ptr<Command> make_report(CLI::App& root) { return std::make_unique<ReportCommand>(root); }

}  // namespace lethe::tools
