#include "cpu/simd/tables.h"
#include "cpu/simd/vec.h"
#include "cpu/simd/vector_math.h"

namespace lethe::simd::LETHE_ISA {
namespace {

// log-sum-exp with the maximum taken out, so that nothing overflows. A NaN that the maximum misses is met again by exp.
// Vectors pay off for long rows only; Long is decided by the number of classes, so a row's bits depend on nothing else.
template <bool Long>
float softmax_row(const float* logits, int64_t label, float smoothing, float* probabilities, int64_t classes) {
    float top = logits[0];
#pragma omp simd reduction(max : top) if (Long)
    for (int64_t c = 1; c < classes; ++c) top = logits[c] > top ? logits[c] : top;
#pragma omp simd if (Long)
    for (int64_t c = 0; c < classes; ++c) probabilities[c] = expf(logits[c] - top);
    double sum = 0.0;
#pragma omp simd reduction(+ : sum) if (Long)
    for (int64_t c = 0; c < classes; ++c) sum += static_cast<double>(probabilities[c]);
    const float inverse = static_cast<float>(1.0 / sum);
    for (int64_t c = 0; c < classes; ++c) probabilities[c] *= inverse;
    const double own = static_cast<double>(logits[label]) - static_cast<double>(top);
    if (smoothing == 0.0f) return static_cast<float>(log(sum) - own);
    double mean = 0.0;
#pragma omp simd reduction(+ : mean) if (Long)
    for (int64_t c = 0; c < classes; ++c) mean += static_cast<double>(logits[c]) - static_cast<double>(top);
    mean /= static_cast<double>(classes);
    const auto share = static_cast<double>(smoothing);
    return static_cast<float>(log(sum) - (1.0 - share) * own - share * mean);
}

float softmax_cross_entropy(const float* logits, int64_t label, float smoothing, float* probabilities,
                            int64_t classes) {
    if (classes < 4 * lanes) return softmax_row<false>(logits, label, smoothing, probabilities, classes);
    return softmax_row<true>(logits, label, smoothing, probabilities, classes);
}

}  // namespace

void add_loss(Kernels& table) { table.softmax_cross_entropy = softmax_cross_entropy; }

}  // namespace lethe::simd::LETHE_ISA
