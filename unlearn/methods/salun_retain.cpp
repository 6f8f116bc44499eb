// Saliency unlearning as its published code runs it: with the retained images trained beside D_f.
#include "unlearn/methods/relabelled.h"

namespace lethe::method {
namespace {

class SalunRetainStep : public Relabelled {
public:
    explicit SalunRetainStep(const StepContext& context) : Relabelled(context, random_labels(context), 1.0) {
        hold_the_others(context);
    }
};

}  // namespace

Method salun_retain() {
    return {.name = "salun+retain",
            .formula = "min CE(f(x), y') over D_f + CE(f(x_r), y_r), in the weights with the largest |d CE(f(x), y)|",
            .data = "D_f + D_r",
            .source = "Fan et al., \"SalUn\", ICLR 2024, its published code",
            .make = make_step<SalunRetainStep>};
}

}  // namespace lethe::method
