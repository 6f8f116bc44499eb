// Changes of single weights by their importance for D_f and for D_r.
#pragma once

#include <cstdint>

#include "nn/model.h"

namespace lethe {

// Selective synaptic dampening (Foster et al., AAAI 2024): each weight whose importance for D_f
// exceeds alpha times that for D_r is multiplied by min(1, lambda * importance for D_r / importance for D_f); the
// others keep their bits. Both importances by parameter name, on the CPU, >= 0. Returns how many weights were selected.
int64_t dampen(Model& model, const StateDict& forget, const StateDict& retain, float alpha, float lambda);

// theta + (alpha / (F + 1e-8))^(1/4) n with n from N(0, 1), stream Purpose::weight_noise (item = number of the
// parameter), for F = `fisher` by parameter name, on the CPU: Golatkar et al., CVPR 2020, with alpha = lambda
// sigma_h^2. The addend keeps the noise of a weight without any curvature finite.
void add_fisher_noise(Model& model, const StateDict& fisher, float alpha, uint64_t seed);

}  // namespace lethe
