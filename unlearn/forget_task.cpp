#include "tensor/error.h"
#include "unlearn/unlearn.h"

namespace lethe {
namespace {

void check_labels(const std::vector<int64_t>& labels, const Shape& images, int64_t classes, const char* what) {
    check(static_cast<int64_t>(labels.size()) == images[0], "unlearn: ", labels.size(), " ", what, " for images ",
          images);
    for (const int64_t label : labels)
        check(label >= 0 && label < classes, "unlearn: ", what, " must lie in [0, ", classes, "), one is ", label);
}

}  // namespace

void ForgetTask::validate(const Method& method, int64_t classes) const {
    check(images.defined() && images.rank() == 4 && images.dim(0) > 0,
          "unlearn: the forget set must be images [k,3,H,W] with at least one image");
    check_labels(labels, images.shape(), classes, "labels");
    if (method.objective == Objective::relabel) check_labels(relabels, images.shape(), classes, "new labels");
    if (method.adversarial || (method.distillation && adversarial.defined())) {
        check(adversarial.defined() && adversarial.shape().rank() == 4 && adversarial.shape()[0] > 0,
              "unlearn: method ", method.name, " needs adversarial images");
        check_labels(adversarial_labels, adversarial.shape(), classes, "adversarial labels");
        check(adversarial.shape()[0] % images.dim(0) == 0, "unlearn: ", adversarial.shape()[0],
              " adversarial images are no multiple of the ", images.dim(0), " images to forget");
    }
    if (inverted.defined())
        check(inverted.shape().rank() == 4 && inverted.shape()[0] > 0 &&
                  inverted.shape().with_rows(1) == images.shape().with_rows(1),
              "unlearn: inverted images are ", inverted.shape(), ", the forget set is ", images.shape());
    check(!method.importance || !penalty.empty(), "unlearn: method ", method.name, " needs importance weights");
    check(!method.needs_retained() || retained.size() > 0, "unlearn: method ", method.name,
          " looks at D_r, and no training image is left that is not to be forgotten");
}

}  // namespace lethe
