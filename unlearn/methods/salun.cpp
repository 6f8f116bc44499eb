// Saliency unlearning: random labels, and only the weights on which the loss of D_f depends most may move.
#include "unlearn/methods/relabelled.h"

namespace lethe::method {
namespace {

class SalunStep : public Relabelled {
public:
    explicit SalunStep(const StepContext& context) : Relabelled(context, random_labels(context)) {
        hold_the_others(context);
    }
};

}  // namespace

Method salun() {
    return {.name = "salun",
            .formula = "min CE(f(x), y') over D_f, y' != y drawn once, in the weights with the largest |d CE(f(x), y)|",
            .data = "D_f",
            .source = "Fan et al., \"SalUn\", ICLR 2024",
            .make = make_step<SalunStep>};
}

}  // namespace lethe::method
