#include <cstdio>

#include "data/split.h"
#include "data/weights.h"
#include "tensor/error.h"
#include "tools/attack_options.h"
#include "tools/command.h"
#include "tools/progress.h"
#include "unlearn/metrics.h"
#include "unlearn/pictures.h"

namespace lethe::tools {
namespace {

class AttackCommand : public Command {
public:
    explicit AttackCommand(CLI::App& root)
        : Command(root, "attack", "adversarial images by projected gradient descent",
                  "lethe attack --weights runs/train/weights.safetensors --data synthetic --select random:0:16") {
        model_options(true);
        data_options("training images");
        option("select", select, "which training images (a forget-set expression, see lethe unlearn --help)");
        option("out", out, "folder for adversarial.safetensors, attack.json and attack.png");
        option("repeats", repeats, "attacks per image, each with its own start and target");
        flag("untargeted", untargeted, "away from the true label instead of towards a random other one");
        flag("early-stop", early_stop, "leave an image alone once it has succeeded");
        attack.declare([this](auto&&... arguments) { option(arguments...); });
    }

protected:
    int run() override;

private:
    Json report_rows(const std::vector<PgdReport>& reports, const std::vector<int64_t>& rows,
                     const std::vector<int64_t>& labels) const;

    std::string select = "random:0:16", out = "runs/attack";
    int64_t repeats = 1;
    bool untargeted = false, early_stop = false;
    AttackOptions attack;
};

Json AttackCommand::report_rows(const std::vector<PgdReport>& reports, const std::vector<int64_t>& rows,
                                const std::vector<int64_t>& labels) const {
    Json list = Json::array();
    for (std::size_t i = 0; i < rows.size(); ++i) {
        const PgdReport& row = reports[i];
        list.push_back({{"index", rows[i]},
                        {untargeted ? "label" : "target", labels[i]},
                        {"predicted", row.predicted},
                        {"success", row.success},
                        {"loss", row.loss},
                        {"margin", row.margin},
                        {"norm", row.norm},
                        {"low", row.low},
                        {"high", row.high}});
    }
    return list;
}

int AttackCommand::run() {
    PgdOptions options = attack.resolved(seed);
    options.targeted = !untargeted;
    options.early_stop = early_stop;
    check(repeats >= 1, "attack: --repeats must be >= 1, got ", repeats);
    const std::unique_ptr<Model> model = load_model();
    const Dataset data = load_data(Split::train, *model);
    const auto twin = fold_batchnorm(*model);
    const std::vector<int64_t> chosen =
        select_forget_set(select, data, [&] { return evaluate(*twin, data, all_indices(data)).wrong; });
    const RunDirectory directory(out, "attack", resolved(), free_keys());

    std::vector<int64_t> rows, true_labels;
    for (int64_t repeat = 0; repeat < repeats; ++repeat) rows.insert(rows.end(), chosen.begin(), chosen.end());
    for (const int64_t row : rows) true_labels.push_back(data.labels[static_cast<std::size_t>(row)]);
    const std::vector<int64_t> chosen_labels(true_labels.begin(),
                                             true_labels.begin() + static_cast<long>(chosen.size()));
    const std::vector<int64_t> labels =
        untargeted ? true_labels : draw_targets(chosen_labels, repeats, model->spec().classes, false, seed);

    TerminalReporter reporter(quiet);
    reporter.begin("attack", static_cast<int64_t>(rows.size()), "images");
    const Tensor originals = data.images(chosen);
    const std::vector<PgdReport> reports =
        attack_to_file(directory.file("adversarial.safetensors"), *twin, originals, labels, options,
                       [&](int64_t done) { reporter.progress(done, ""); });
    int64_t successes = 0;
    float largest = 0, low = 1, high = 0;
    for (const PgdReport& row : reports) {
        successes += row.success ? 1 : 0;
        largest = std::max(largest, row.norm);
        low = std::min(low, row.low);
        high = std::max(high, row.high);
    }
    reporter.end(concat(successes, " of ", rows.size(), untargeted ? " left their label" : " reached their target"));
    say(concat("largest perturbation ", largest, " (eps ", options.step.eps, "), pixels in [", low, ", ", high, "]"));
    write_attack_sheet(directory.file("attack.png"), originals, chosen_labels,
                       RowFile(directory.file("adversarial.safetensors")), labels, reports, data.class_names);
    const Json summary{{"successes", successes},
                       {"rows", rows.size()},
                       {"success_rate", 100.0 * static_cast<double>(successes) / static_cast<double>(rows.size())},
                       {"largest_norm", largest},
                       {"low", low},
                       {"high", high},
                       {"report", report_rows(reports, rows, labels)}};
    directory.write_json("attack.json", summary);
    write_json_option(summary);
    say("run directory: " + out + "  (adversarial.safetensors, attack.json, attack.png)");
    return 0;
}

}  // namespace

std::unique_ptr<Command> make_attack(CLI::App& root) { return std::make_unique<AttackCommand>(root); }

}  // namespace lethe::tools
