#include <cstdio>

#include "data/split.h"
#include "data/weights.h"
#include "tensor/error.h"
#include "tools/command.h"
#include "tools/progress.h"
#include "unlearn/metrics.h"

namespace lethe::tools {
namespace {

class EvalCommand : public Command {
public:
    explicit EvalCommand(CLI::App& root)
        : Command(root, "eval", "accuracy of a classifier on a dataset",
                  "lethe eval --weights resnet20.th --model resnet20 --normalize imagenet --data cifar10:DIR --split "
                  "test") {
        model_options(true);
        data_options("images");
        option("split", split_name, "train, test or, of datasets that have it, validation")
            ->check(CLI::IsMember({"train", "validation", "test"}));
        option("select", select, "only these images (a forget-set expression, see lethe unlearn --help); default: all");
        option("logits", logits_file, "also write the logits [N,classes] to this safetensors file")->type_name("FILE");
        flag("per-class", per_class, "print a line per class");
    }

protected:
    int run() override;

private:
    std::string split_name = "test", select, logits_file;
    bool per_class = false;
};

int EvalCommand::run() {
    const std::unique_ptr<Model> model = load_model();
    const Split split = split_name == "train"        ? Split::train
                        : split_name == "validation" ? Split::validation
                                                     : Split::test;
    const Dataset data = load_data(split, *model);
    const auto twin = fold_batchnorm(*model);
    const std::vector<int64_t> indices = select.empty() ? all_indices(data) : select_forget_set(select, data, [&] {
        return evaluate(*twin, data, all_indices(data)).wrong;
    });

    TerminalReporter reporter(quiet);
    reporter.begin("eval", static_cast<int64_t>(indices.size()), "images");
    const Evaluation result = evaluate(*twin, data, indices, [&](int64_t done) { reporter.progress(done, ""); });
    reporter.end(concat(model->spec().arch, " on ", split_name, " images of ", data_source));
    if (!logits_file.empty()) write_safetensors(logits_file, {{"logits", predict(*twin, data, indices)}});

    char line[128];
    std::snprintf(line, sizeof line, "accuracy %.2f %%  (%lld of %lld), loss %.4f, mean margin %.2f",
                  result.accuracy.percent(), static_cast<long long>(result.accuracy.correct),
                  static_cast<long long>(result.accuracy.total), result.loss, result.mean_margin);
    say(line);
    Json classes_json;
    for (std::size_t c = 0; c < result.per_class.size(); ++c) {
        const Accuracy& accuracy = result.per_class[c];
        classes_json[data.class_names[c]] = {{"correct", accuracy.correct}, {"total", accuracy.total}};
        std::snprintf(line, sizeof line, "  %-12s %6.2f %%  (%lld of %lld)", data.class_names[c].c_str(),
                      accuracy.percent(), static_cast<long long>(accuracy.correct),
                      static_cast<long long>(accuracy.total));
        if (per_class) say(line);
    }
    write_json_option({{"model", model->spec().arch},
                       {"data", data_source},
                       {"split", split_name},
                       {"accuracy", result.accuracy.percent()},
                       {"correct", result.accuracy.correct},
                       {"total", result.accuracy.total},
                       {"loss", result.loss},
                       {"mean_margin", result.mean_margin},
                       {"per_class", classes_json},
                       {"wrong", result.wrong}});
    check(result.finite, "eval: some logits are not finite numbers");
    return 0;
}

}  // namespace

std::unique_ptr<Command> make_eval(CLI::App& root) { return std::make_unique<EvalCommand>(root); }

}  // namespace lethe::tools
