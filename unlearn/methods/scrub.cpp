// SCRUB: the student disobeys its former self on D_f and obeys it on D_r, in turn, and obeys at the end.
#include "unlearn/distillation.h"
#include "unlearn/method_step.h"
#include "unlearn/metrics.h"

namespace lethe::method {
namespace {

class ScrubStep : public MethodStep {
public:
    explicit ScrubStep(const StepContext& context)
        : losses_(context),
          teacher_(fold_batchnorm(context.model)),
          options_(context.options.compare),
          max_steps_((context.task.images.dim(0) + context.options.forget_batch - 1) / context.options.forget_batch) {}

    void accumulate(int64_t step, StepTrace& trace) override {
        const int64_t round = max_steps_ + options_.scrub_min_steps, rounds = options_.scrub_rounds;
        const int64_t in_round = step % round;
        if (step < rounds * round && in_round < max_steps_) return disobey(losses_.forget_batch(in_round), trace);
        // The number of the step among those on D_r.
        const int64_t maximised = step < rounds * round ? (step / round + 1) * max_steps_ : rounds * max_steps_;
        obey(losses_.retained_batch(step - maximised), trace);
    }

private:
    void disobey(const StepBatch& batch, StepTrace& trace) {
        const Tensor target = opinion(*teacher_, batch), logits = losses_.divergence(batch, target, -1.0);
        trace.distillation = mean_kl(target, logits);
        trace.forget_loss = evaluate_logits(logits, batch.labels.int64_values()).loss;
    }

    // alpha KL + gamma CE has the gradient of the divergence from their mixture, in one pass.
    void obey(const StepBatch& batch, StepTrace& trace) {
        const Tensor target = opinion(*teacher_, batch);
        const float total = options_.scrub_alpha + options_.scrub_gamma, share = options_.scrub_alpha / total;
        Tensor mixture = backend(target).scale(target, share);
        for (int64_t i = 0; i < batch.size(); ++i)
            mixture.mutable_data()[i * mixture.dim(1) + batch.labels.int64_data()[i]] += 1.0f - share;
        const Tensor logits = losses_.divergence(batch, mixture, static_cast<double>(total));
        trace.distillation = mean_kl(target, logits);
        trace.retain_loss = evaluate_logits(logits, batch.labels.int64_values()).loss;
    }

    StepLosses losses_;
    std::unique_ptr<Model> teacher_;
    ComparisonOptions options_;
    int64_t max_steps_;  // one pass over D_f
};

}  // namespace

Method scrub() {
    return {.name = "scrub",
            .formula =
                "in turn max KL(f_theta0(x) || f(x)) over D_f, min alpha KL(f_theta0(x_r) || f(x_r)) + "
                "gamma CE(f(x_r), y_r) over D_r",
            .data = "D_f + D_r",
            .source = "Kurmanji et al., \"Towards Unbounded Machine Unlearning\", NeurIPS 2023",
            .until = Until::budget,
            .make = make_step<ScrubStep>};
}

}  // namespace lethe::method
