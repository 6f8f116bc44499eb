#include "unlearn/metrics/relearn.h"

#include <algorithm>
#include <cmath>

#include "autograd/ops.h"
#include "tensor/error.h"
#include "unlearn/metrics.h"

namespace lethe {
namespace {

constexpr int64_t diverged_count = -1;

// How many rows are given their label; diverged_count where a logit is not finite.
int64_t count_correct(const Tensor& logits, std::span<const int64_t> labels) {
    const Evaluation evaluation = evaluate_logits(logits, labels);
    return evaluation.finite ? evaluation.accuracy.correct : diverged_count;
}

// Rows that follow each other in D_f, which begins again after its end.
class Batches {
public:
    Batches(const Tensor& images, std::span<const int64_t> labels, int64_t size)
        : images_(images), labels_(labels), size_(size) {}

    void advance() {
        if (begin_ >= images_.dim(0)) begin_ = 0;
        end_ = std::min(begin_ + size_, images_.dim(0));
        first_ = begin_;
        begin_ = end_;
    }
    Tensor images() const { return images_.rows(first_, end_); }
    Tensor labels() const {
        return Tensor::from_int64({end_ - first_}, labels_.subspan(static_cast<std::size_t>(first_),
                                                                   static_cast<std::size_t>(end_ - first_)));
    }

private:
    const Tensor& images_;
    std::span<const int64_t> labels_;
    int64_t size_, begin_ = 0, first_ = 0, end_ = 0;
};

}  // namespace

void RelearnOptions::validate() const {
    optimizer.validate();
    check(max_steps >= 1, "relearn: max_steps must be >= 1, got ", max_steps);
    check(batch_size >= 1, "relearn: batch_size must be >= 1, got ", batch_size);
}

std::vector<Module::Parameter> last_layer(const Model& model) {
    const std::vector<Module::Parameter> all = model.net().parameters();
    check(
        all.size() >= 2 && all.back().name.ends_with("bias") && all.back().var.shape().numel() == model.spec().classes,
        "model ", model.spec().arch, ": its last parameters are not the weight and bias of a layer of logits");
    return {all.end() - 2, all.end()};
}

Relearning relearn(const Model& model, const Tensor& images, std::span<const int64_t> labels, int64_t goal,
                   const RelearnOptions& options) {
    options.validate();
    check(images.defined() && images.rank() == 4 && images.dim(0) == static_cast<int64_t>(labels.size()),
          "relearn: ", labels.size(), " labels do not fit the images");
    check(goal >= 1 && goal <= images.dim(0), "relearn: the goal must be 1 to ", images.dim(0), " images, got ", goal);
    const std::unique_ptr<Model> student = model.clone();
    const std::unique_ptr<Model> twin = fold_batchnorm(*student);
    student->net().set_requires_grad(!options.last_layer_only);
    std::vector<Module::Parameter> trained =
        options.last_layer_only ? last_layer(*student) : student->net().parameters();
    for (Module::Parameter& parameter : trained) parameter.var.set_requires_grad(true);
    Optimizer optimizer(trained, options.optimizer);
    Batches batches(images, labels, options.batch_size);

    Relearning result;
    result.correct.push_back(count_correct(predict(*twin, images), labels));
    while (result.correct.back() < goal && result.correct.back() != diverged_count &&
           result.steps < options.max_steps) {
        batches.advance();
        student->net().zero_grad();
        const Var logits = student->forward(batches.images().to(student->device()), BatchNormMode::running);
        mean(softmax_cross_entropy(logits, batches.labels().to(student->device()))).backward();
        optimizer.step();
        ++result.steps;
        fold_into(*student, *twin);
        result.correct.push_back(count_correct(predict(*twin, images), labels));
    }
    result.finite = result.correct.back() != diverged_count;
    if (!result.finite) result.correct.pop_back();
    result.reached = result.finite && result.correct.back() >= goal;
    return result;
}

}  // namespace lethe
