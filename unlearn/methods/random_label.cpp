// Each image of D_f is taught a random other label, the same throughout.
#include "unlearn/methods/relabelled.h"
#include "unlearn/pgd.h"

namespace lethe::method {
namespace {

class RandomLabelStep : public Relabelled {
public:
    explicit RandomLabelStep(const StepContext& context) : Relabelled(context, random_labels(context)) {}
};

}  // namespace

std::vector<int64_t> random_labels(const StepContext& context) {
    return draw_targets(context.task.labels, 1, context.model.spec().classes, false, context.options.seed);
}

Method random_label() {
    return {.name = "random-label",
            .formula = "min CE(f(x), y') over D_f, y' != y drawn once",
            .data = "D_f",
            .source = "Golatkar et al., \"Eternal Sunshine of the Spotless Net\", CVPR 2020",
            .make = make_step<RandomLabelStep>};
}

}  // namespace lethe::method
