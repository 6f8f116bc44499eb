#include <algorithm>
#include <cstdio>

#include "data/split.h"
#include "data/weights.h"
#include "tensor/error.h"
#include "tools/command.h"
#include "tools/progress.h"
#include "unlearn/importance.h"
#include "unlearn/metrics.h"

namespace lethe::tools {
namespace {

class ImportanceCommand : public Command {
public:
    explicit ImportanceCommand(CLI::App& root)
        : Command(root, "importance", "MAS importance of every weight for chosen images",
                  "lethe importance --weights runs/train/weights.safetensors --data synthetic --select random:0:16") {
        model_options(true);
        data_options("training images");
        option("select", select, "which training images (a forget-set expression, see lethe unlearn --help)");
        option("form", form, "per-sample (MAS: mean of |gradient|) or batch-mean (the reference: |mean gradient|)")
            ->check(CLI::IsMember({"per-sample", "batch-mean"}));
        flag("unsquared", unsquared, "of |f(x)| instead of |f(x)|^2");
        flag("batch-statistics", batch_statistics, "BatchNorm on batch statistics (batch-mean only)");
        option("batch-size", batch_size, "images per batch (batch-mean only)");
        option("out", out, "folder for importance.safetensors and importance.json");
    }

protected:
    int run() override;

private:
    std::string select = "random:0:16", form = "per-sample", out = "runs/importance";
    bool unsquared = false, batch_statistics = false;
    int64_t batch_size = 32;
};

int ImportanceCommand::run() {
    const std::unique_ptr<Model> model = load_model();
    const Dataset data = load_data(Split::train, *model);
    const std::vector<int64_t> chosen = select_forget_set(select, data, [&] {
        const auto twin = fold_batchnorm(*model);
        return evaluate(*twin, data, all_indices(data)).wrong;
    });
    const RunDirectory directory(out, "importance", resolved(), free_keys());
    TerminalReporter reporter(quiet);
    reporter.begin("importance", 0, "");
    const StateDict omega = mas_importance(
        *model, data.images(chosen),
        {.form = form == "per-sample" ? ImportanceOptions::Form::per_sample : ImportanceOptions::Form::batch_mean,
         .squared = !unsquared,
         .batch_statistics = batch_statistics,
         .batch_size = batch_size});
    std::vector<std::string> degenerate;
    const StateDict weights = penalty_weights(omega, &degenerate);
    reporter.end(concat(omega.size(), " tensors for ", chosen.size(), " images"));

    // After min-max a tensor with one outlier is protected almost everywhere: the mean shows it.
    Json table = Json::array();
    say("tensor                              importance min        mean         max   mean protection");
    for (std::size_t i = 0; i < omega.size(); ++i) {
        const auto values = omega[i].second.values(), shares = weights[i].second.values();
        const auto [low, high] = std::minmax_element(values.begin(), values.end());
        const auto mean = [](std::span<const float> all) {
            double total = 0;
            for (const float value : all) total += double{value};
            return total / static_cast<double>(all.size());
        };
        char line[160];
        std::snprintf(line, sizeof line, "%-34s  %14.4g  %10.4g  %10.4g  %16.4f", omega[i].first.c_str(), double{*low},
                      mean(values), double{*high}, mean(shares));
        say(line);
        table.push_back({{"tensor", omega[i].first},
                         {"min", *low},
                         {"mean", mean(values)},
                         {"max", *high},
                         {"mean_protection", mean(shares)}});
    }
    for (const std::string& name : degenerate)
        say("note: " + name + " has one value everywhere and is fully protected");
    write_safetensors(directory.file("importance.safetensors"), omega);
    const Json summary{{"tensors", table}, {"degenerate", degenerate}};
    directory.write_json("importance.json", summary);
    write_json_option(summary);
    say("run directory: " + out + "  (importance.safetensors, importance.json)");
    return 0;
}

}  // namespace

std::unique_ptr<Command> make_importance(CLI::App& root) { return std::make_unique<ImportanceCommand>(root); }

}  // namespace lethe::tools
