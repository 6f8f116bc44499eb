#include <math.h>

#include "cpu/simd/tables.h"
#include "cpu/simd/vec.h"

namespace lethe::simd::LETHE_ISA {
namespace {

// log-sum-exp with the maximum taken out, so that nothing overflows.
float softmax_cross_entropy(const float* logits, int64_t label, float* probabilities, int64_t classes) {
    float top = logits[0];
    for (int64_t c = 1; c < classes; ++c) top = logits[c] > top ? logits[c] : top;
    double sum = 0.0;
    for (int64_t c = 0; c < classes; ++c) {
        probabilities[c] = expf(logits[c] - top);
        sum += static_cast<double>(probabilities[c]);
    }
    const float inverse = static_cast<float>(1.0 / sum);
    for (int64_t c = 0; c < classes; ++c) probabilities[c] *= inverse;
    return static_cast<float>(log(sum) - (static_cast<double>(logits[label]) - static_cast<double>(top)));
}

}  // namespace

void add_loss(Kernels& table) { table.softmax_cross_entropy = softmax_cross_entropy; }

}  // namespace lethe::simd::LETHE_ISA
