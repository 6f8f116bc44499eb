// Two teachers: an untrained network says what becomes of D_f, the original one what becomes of the rest.
#include "unlearn/distillation.h"
#include "unlearn/method_step.h"
#include "unlearn/metrics.h"

namespace lethe::method {
namespace {

class BadTeacherStep : public MethodStep {
public:
    explicit BadTeacherStep(const StepContext& context)
        : losses_(context),
          incompetent_(fold_batchnorm(*untrained(context.model, context.options.seed))),
          competent_(fold_batchnorm(context.model)) {}

    void accumulate(int64_t step, StepTrace& trace) override {
        const StepBatch forget = losses_.forget_batch(step), retain = losses_.retained_batch(step);
        trace.distillation = follow(*incompetent_, forget, trace.forget_loss);
        trace.distillation += follow(*competent_, retain, trace.retain_loss);
    }

private:
    // Adds the gradient of mean KL(teacher || student); returns it. `loss` gets the mean CE.
    double follow(Model& teacher, const StepBatch& batch, double& loss) {
        const Tensor target = opinion(teacher, batch), logits = losses_.divergence(batch, target, 1.0);
        loss = evaluate_logits(logits, batch.labels.int64_values()).loss;
        return mean_kl(target, logits);
    }

    StepLosses losses_;
    std::unique_ptr<Model> incompetent_, competent_;
};

}  // namespace

Method bad_teacher() {
    return {.name = "bad-teacher",
            .formula = "min KL(f_untrained(x) || f(x)) over D_f + KL(f_theta0(x_r) || f(x_r)) over D_r",
            .data = "D_f + D_r",
            .source = "Chundawat et al., \"Can Bad Teaching Induce Forgetting?\", AAAI 2023",
            .until = Until::budget,
            .make = make_step<BadTeacherStep>};
}

}  // namespace lethe::method
