// How far two models are apart: in their outputs, and in their weights.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "tensor/tensor.h"

namespace lethe {

// Quantiles of a set of numbers by linear interpolation between order statistics (NumPy's default).
struct Quantiles {
    double minimum = 0, q05 = 0, q25 = 0, median = 0, q75 = 0, q95 = 0, maximum = 0, mean = 0;
};
// Throws Error for no values or one that is NaN.
Quantiles quantiles_of(std::vector<double> values);

// In double, of finite logits; throws Error for others.
std::vector<double> softmax(std::span<const float> logits);
// In bits, of two distributions over as many outcomes, so in [0,1]:
//     JS(p, q) = KL(p || m)/2 + KL(q || m)/2,   m = (p + q)/2,   KL(p || m) = sum_j p_j log2(p_j / m_j)
double jensen_shannon(std::span<const double> p, std::span<const double> q);

// mean_x |softmax(a(x)) - softmax(b(x))|_2 over the rows of logits [N,C] ("activation distance", Golatkar et al., CVPR
// 2020, as Chundawat et al., AAAI 2023, measure it). 0 for the same answers, sqrt(2) for opposite certainties. Low on
// D_r and D_test is good: nothing else has changed. Throws Error unless shapes agree and all is finite.
double activation_distance(const Tensor& a, const Tensor& b);

// mean_x JS(softmax(a(x)), softmax(b(x))) over the rows of logits [N,C].
double jensen_shannon(const Tensor& a, const Tensor& b);
// ZRF = 1 - mean_x JS(f(x), random(x)), of D_f, with a model of the same architecture that was never trained (Chundawat
// et al., "Can bad teaching induce forgetting?", AAAI 2023). 1: answers of the forgotten images are those of the random
// model. To be compared with what the model gives for test images, which it has not seen: there is no chance level.
inline double zrf(const Tensor& logits, const Tensor& random_logits) {
    return 1 - jensen_shannon(logits, random_logits);
}

// Logits [N,C] and the label of each row.
struct LabelledLogits {
    const Tensor& logits;
    std::span<const int64_t> labels;
};
// Retrain-free JSD (Spartalis et al., "LoTUS", CVPR 2025):
//     mean over classes c of JS(mean of softmax(f(x)) over D_f's x of class c, mean of softmax(f_before(x)) over
//     D_test's)
// over the classes that both have; nothing where there is none. 0: D_f is answered as the model before answers images
// that it has never seen. Throws Error for a label out of range.
std::optional<double> retrain_free_jsd(const LabelledLogits& forget, const LabelledLogits& test_before);

// Between two states of one architecture. Parameters and BatchNorm's buffers are told apart: an optimizer moves the
// one, a forward pass in training mode the other.
struct TensorDistance {
    std::string name;
    bool buffer = false;  // running_mean or running_var
    double distance = 0;  // |after - before|_2
    double relative = 0;  // ... / |before|_2; infinite where that is 0 and something has moved
    int64_t moved = 0;    // values that are not the same bits
    int64_t values = 0;
};
struct WeightDistance {
    std::vector<TensorDistance> tensors;  // float32 entries, in the model's order
    TensorDistance parameters, buffers;   // over all of either
};
// Low is good at equal forgetting: less was changed to get there. Throws Error where the names or shapes differ.
WeightDistance weight_distance(const StateDict& before, const StateDict& after);

// Tug of war: prod over D_f, D_r, D_test of (1 - |accuracy - oracle's accuracy|), accuracies in [0,1] (Zhao et al.,
// "What makes unlearning hard", NeurIPS 2024). 1: as a model retrained without D_f answers.
double tug_of_war(std::span<const double> accuracies, std::span<const double> oracle);

}  // namespace lethe
