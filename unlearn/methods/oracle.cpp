// What the retained images are worth: the reference's comparison arm that ascends on D_f and descends on D_r. Without
// weights of their own the two sets count the same.
#include "unlearn/methods/retain_minus_forget.h"

namespace lethe::method {
namespace {

class OracleStep : public RetainMinusForget {
public:
    explicit OracleStep(const StepContext& context) : RetainMinusForget(context, 1.0, 1.0) {}
};

}  // namespace

Method oracle() {
    return {.name = "oracle",
            .formula = "min CE(f(x_r), y_r) - CE(f(x), y)",
            .data = "D_f + D_r",
            .source = "the arm \"Oracle\" of L2UL's published code; Cha et al., AAAI 2024",
            .make = make_step<OracleStep>};
}

}  // namespace lethe::method
