// NegGrad+: the gradient of D_f is negated as in neggrad, and D_r holds the rest of the model in place; beta says how
// much of each.
#include "unlearn/methods/retain_minus_forget.h"

namespace lethe::method {
namespace {

class NegGradPlusStep : public RetainMinusForget {
public:
    explicit NegGradPlusStep(const StepContext& context)
        : RetainMinusForget(context, static_cast<double>(context.options.compare.beta),
                            1.0 - static_cast<double>(context.options.compare.beta)) {}
};

}  // namespace

Method neggrad_plus() {
    return {.name = "neggrad+",
            .formula = "min beta CE(f(x_r), y_r) - (1 - beta) CE(f(x), y)",
            .data = "D_f + D_r",
            .source = "Kurmanji et al., \"Towards Unbounded Machine Unlearning\", NeurIPS 2023",
            .make = make_step<NegGradPlusStep>};
}

}  // namespace lethe::method
