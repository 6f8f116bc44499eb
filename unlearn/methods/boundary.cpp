// Boundary shrink: each image of D_f is given to the class across its nearest decision boundary, which one step of the
// fast gradient sign method finds.
#include "unlearn/methods/relabelled.h"
#include "unlearn/pgd.h"

namespace lethe::method {
namespace {

// The class other than its own that x + eps sign(d CE(f(x), y) / d x) is most given to.
std::vector<int64_t> nearest_labels(const StepContext& context) {
    const Tensor& images = context.task.images;
    const std::vector<int64_t>& labels = context.task.labels;
    const float eps = context.options.compare.boundary_eps;
    PgdOptions fgsm;
    fgsm.step = {.norm = PgdStep::Norm::linf, .order = PgdStep::Order::ball_then_box, .eps = eps, .step = eps};
    fgsm.steps = 1;
    fgsm.targeted = false;
    fgsm.init = PgdOptions::Init::none;
    const std::unique_ptr<Model> twin = fold_batchnorm(context.model);
    const Tensor logits = eps > 0 ? predict(*twin, pgd(*twin, images, labels, fgsm).images) : predict(*twin, images);
    std::vector<int64_t> nearest;
    const auto classes = static_cast<std::size_t>(logits.dim(1));
    for (std::size_t i = 0; i < labels.size(); ++i) {
        const std::span<const float> row = logits.values().subspan(i * classes, classes);
        const auto own = static_cast<std::size_t>(labels[i]);
        std::size_t best = own == 0 ? 1 : 0;
        for (std::size_t c = 0; c < classes; ++c)
            if (c != own && row[c] > row[best]) best = c;
        nearest.push_back(static_cast<int64_t>(best));
    }
    return nearest;
}

class BoundaryStep : public Relabelled {
public:
    explicit BoundaryStep(const StepContext& context) : Relabelled(context, nearest_labels(context)) {}
};

}  // namespace

Method boundary() {
    return {
        .name = "boundary",
        .formula = "min CE(f(x), y') over D_f, y' = argmax_{c != y} f_theta0(x + eps sign(d CE(f_theta0(x), y)/dx))_c",
        .data = "D_f",
        .source = "Chen et al., \"Boundary Unlearning\", CVPR 2023: boundary shrink",
        .make = make_step<BoundaryStep>};
}

}  // namespace lethe::method
