// Optimizers over a model's parameters.
#pragma once

#include <string>
#include <vector>

#include "nn/module.h"
#include "tensor/backend.h"

namespace lethe {

struct OptimizerSpec {
    std::string name = "sgd";  // "sgd", "adam" or "adamw"
    float lr = 0.1f;
    float momentum = 0.9f;  // sgd
    bool nesterov = false;  // sgd
    float weight_decay = 0.0f;
    // false: the biases and the parameters of normalisations are not decayed (every parameter of one dimension)
    bool decay_all = true;
    // Nor is a parameter whose name contains one of these, comma-separated ("pos_embedding,class_token"); each must
    // occur in some name.
    std::string no_decay = "";
    float beta1 = 0.9f, beta2 = 0.999f, eps = 1e-8f;  // adam, adamw
    // PyTorch's clip_grad_value_ and clip_grad_norm_ before each step; 0: none. At most one of them.
    float clip_value = 0.0f, clip_norm = 0.0f;

    bool adaptive() const { return name != "sgd"; }

    void validate() const;  // throws Error naming the option and its range
};

// Updates parameters in place from their gradients. Parameters that received no gradient are skipped, as in PyTorch.
// Formulas: tensor/ops.h; Adam counts one step for all parameters.
class Optimizer {
public:
    // Throws Error as spec.validate() does.
    Optimizer(std::vector<Module::Parameter> parameters, const OptimizerSpec& spec);

    // Adds lambda / 2 * sum(weight * (theta - anchor)^2) to what is minimised, fused into the update: `weights` by
    // parameter name (parameters not named get none), anchors are the parameters' present values.
    void set_penalty(const StateDict& weights, float lambda);
    // The penalty's present value without lambda, for the trace: sum(weight * (theta - anchor)^2) / 2.
    double penalty() const;

    // One step: prepare_step() and apply_step(). They are apart for steps that are recorded (StepGraph): the first
    // counts the step and writes what changes from step to step to the device, outside the recording; the second is
    // recorded.
    void step();
    void prepare_step();
    void apply_step();
    void set_lr(float lr) { spec_.lr = lr; }
    float lr() const { return spec_.lr; }
    // sgd's momentum, where it is not 0, or Adam's beta1.
    void set_momentum(float momentum) { (spec_.adaptive() ? spec_.beta1 : spec_.momentum) = momentum; }
    // The L2 norm of all gradients before clipping, of the last step; with clip_norm only, else 0. Waits for the
    // device.
    double gradient_norm() const;

    // Copies of the step count and of momentum or moments, to resume bit-identically. Names: "step" (int64) and, for
    // every parameter, "<name>.momentum" (sgd with momentum) or "<name>.exp_avg" and "<name>.exp_avg_sq" (Adam).
    StateDict state() const;
    void load_state(const StateDict& state);  // throws Error where names or shapes do not match

private:
    void apply_sgd();
    void apply_adam();
    Sgd sgd_op() const;
    Adam adam_op() const;
    void measure_gradient();
    bool decays(const Module::Parameter& parameter) const;

    struct Slot {
        Tensor first, second;  // momentum; or Adam's two moments
        Penalty penalty;
        float weight_decay = 0.0f;
    };

    std::vector<Module::Parameter> parameters_;
    std::vector<Slot> slots_;
    Tensor scalars_;      // what changes from step to step, on devices that record; else undefined
    Tensor clip_factor_;  // with clip_norm
    OptimizerSpec spec_;
    float lambda_ = 0.0f;
    int64_t steps_ = 0;
};

}  // namespace lethe
