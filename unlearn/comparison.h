// Options of the published methods that others are compared with.
#pragma once

#include <cstdint>

namespace lethe {

// The methods and where each default comes from: docs/methods.md.
struct ComparisonOptions {
    int64_t fixed_steps = 200;    // of the methods that run a number of steps (Until::budget)
    int64_t retain_batch = 128;   // images of D_r per step
    float beta = 0.95f;           // neggrad+: weight of CE on D_r; 1 - beta is that of -CE on D_f
    float salient_share = 0.5f;   // salun: share of the weights that may move
    float dampening_alpha = 10;   // ssd, lfssd: how many times as important for D_f as for D_r a weight must be, ...
    float dampening_lambda = 1;   // ... and what the ratio of the two is multiplied with
    float scrub_alpha = 0.001f;   // scrub: weight of KL on D_r, ...
    float scrub_gamma = 0.99f;    // ... and of CE on D_r
    int64_t scrub_rounds = 10;    // scrub: passes over D_f, ...
    int64_t scrub_min_steps = 9;  // ... and steps on D_r after each of them
    float boundary_eps = 0.1f;    // boundary: length of the FGSM step in the maximum norm, in pixel units
    float noise_alpha = 1e-14f;   // fisher-noise: lambda sigma_h^2
    int64_t last_layers = 3;      // eu-k, cf-k: k

    void validate() const;  // throws Error naming the option and its range
};

}  // namespace lethe
