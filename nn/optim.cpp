#include "nn/optim.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <sstream>

#include "tensor/error.h"

namespace lethe {
namespace {

void check_range(bool ok, const char* option, float value, const char* range) {
    check(ok, "optimizer: ", option, " is ", value, "; it must be ", range);
}

// Copies `entry` of `state` into `target`, and takes it out of `left`.
void take(std::map<std::string, Tensor>& left, const std::string& entry, Tensor& target) {
    const auto found = left.find(entry);
    check(found != left.end(), "optimizer: the state has no entry '", entry, "'");
    check(found->second.shape() == target.shape() && found->second.dtype() == target.dtype(), "optimizer: entry '",
          entry, "' is ", name(found->second.dtype()), " ", found->second.shape(), ", this one needs ",
          name(target.dtype()), " ", target.shape());
    target.copy_from(found->second);
    left.erase(found);
}

// "a,b" -> {"a", "b"}
std::vector<std::string> pieces(const std::string& text) {
    std::vector<std::string> result;
    std::istringstream in(text);
    for (std::string piece; std::getline(in, piece, ',');)
        if (!piece.empty()) result.push_back(piece);
    return result;
}

}  // namespace

void OptimizerSpec::validate() const {
    check(name == "sgd" || name == "adam" || name == "adamw", "optimizer: unknown name '", name,
          "'; known ones are sgd, adam and adamw");
    check_range(std::isfinite(lr) && lr >= 0, "lr", lr, "a finite number >= 0");
    check_range(momentum >= 0 && momentum < 1, "momentum", momentum, "in [0, 1)");
    check_range(std::isfinite(weight_decay) && weight_decay >= 0, "weight_decay", weight_decay, "a finite number >= 0");
    check_range(beta1 >= 0 && beta1 < 1, "beta1", beta1, "in [0, 1)");
    check_range(beta2 >= 0 && beta2 < 1, "beta2", beta2, "in [0, 1)");
    check_range(std::isfinite(eps) && eps > 0, "eps", eps, "a finite number > 0");
    check_range(std::isfinite(clip_value) && clip_value >= 0, "clip_value", clip_value, "a finite number >= 0");
    check_range(std::isfinite(clip_norm) && clip_norm >= 0, "clip_norm", clip_norm, "a finite number >= 0");
    check(clip_value == 0 || clip_norm == 0, "optimizer: clip_value and clip_norm exclude one another; set one to 0");
    check(!nesterov || momentum > 0, "optimizer: nesterov needs momentum > 0");
}

Optimizer::Optimizer(std::vector<Module::Parameter> parameters, const OptimizerSpec& spec)
    : parameters_(std::move(parameters)), slots_(parameters_.size()), spec_(spec) {
    spec_.validate();
    const bool adam = spec_.adaptive();
    for (const std::string& part : pieces(spec_.no_decay))
        check(std::any_of(parameters_.begin(), parameters_.end(),
                          [&](const Module::Parameter& p) { return p.name.find(part) != std::string::npos; }),
              "optimizer: no_decay names '", part, "', which is part of no parameter's name");
    for (std::size_t i = 0; i < slots_.size(); ++i) {
        const Tensor& value = parameters_[i].var.value();
        // PyTorch starts momentum as the first gradient: momentum * 0 + g is the same number.
        if (adam || spec_.momentum > 0) slots_[i].first = Tensor::zeros(value.shape(), value.dtype(), value.device());
        if (adam) slots_[i].second = Tensor::zeros(value.shape(), value.dtype(), value.device());
        slots_[i].weight_decay = decays(parameters_[i]) ? spec_.weight_decay : 0.0f;
    }
    if (slots_.empty()) return;
    const Device device = parameters_.front().var.value().device();
    if (backend(device).can_record()) scalars_ = Tensor::zeros({adam ? 4 : 2}, DType::float32, device);
    if (spec_.clip_norm > 0) clip_factor_ = Tensor::zeros({2}, DType::float32, device);
}

bool Optimizer::decays(const Module::Parameter& parameter) const {
    if (!spec_.decay_all && parameter.var.value().rank() <= 1) return false;
    const std::vector<std::string> spared = pieces(spec_.no_decay);
    return std::none_of(spared.begin(), spared.end(),
                        [&](const std::string& part) { return parameter.name.find(part) != std::string::npos; });
}

double Optimizer::gradient_norm() const {
    return clip_factor_.defined() ? static_cast<double>(clip_factor_.cpu().values()[1]) : 0.0;
}

void Optimizer::set_penalty(const StateDict& weights, float lambda) {
    check(std::isfinite(lambda) && lambda >= 0, "optimizer: lambda is ", lambda, "; it must be a finite number >= 0");
    for (Slot& slot : slots_) slot.penalty = {};
    for (const auto& [entry, weight] : weights) {
        const auto found = std::find_if(parameters_.begin(), parameters_.end(),
                                        [&](const Module::Parameter& parameter) { return parameter.name == entry; });
        check(found != parameters_.end(), "optimizer: the penalty names '", entry, "', which is no parameter");
        const Tensor& value = found->var.value();
        check(weight.shape() == value.shape(), "optimizer: the penalty of '", entry, "' has shape ", weight.shape(),
              ", the parameter ", value.shape());
        slots_[static_cast<std::size_t>(found - parameters_.begin())].penalty = {weight.to(value.device()),
                                                                                 value.clone()};
    }
    lambda_ = lambda;
}

double Optimizer::penalty() const {
    double total = 0;
    for (std::size_t i = 0; i < slots_.size(); ++i) {
        const Penalty& pull = slots_[i].penalty;
        if (!pull.weight.defined()) continue;
        Backend& device = backend(pull.weight);
        const Tensor moved = device.binary(Binary::sub, parameters_[i].var.value(), pull.anchor);
        const Tensor terms = device.binary(Binary::mul, pull.weight, device.unary(Unary::square, moved));
        total += static_cast<double>(device.sum(terms).item());
    }
    return total / 2;
}

void Optimizer::step() {
    prepare_step();
    apply_step();
}

void Optimizer::prepare_step() {
    ++steps_;
    if (!scalars_.defined()) return;
    std::vector<float> values{spec_.lr, spec_.momentum};
    if (spec_.adaptive()) {
        const Adam op = adam_op();
        values = {op.step_size(), op.inv_sqrt_correction2(), op.lr, op.beta1};
    }
    backend(scalars_).set_scalars(scalars_, values);
}

void Optimizer::apply_step() {
    measure_gradient();
    if (spec_.adaptive())
        apply_adam();
    else
        apply_sgd();
}

Adam Optimizer::adam_op() const {
    return {.lr = spec_.lr,
            .beta1 = spec_.beta1,
            .beta2 = spec_.beta2,
            .eps = spec_.eps,
            .step = steps_,
            .decoupled = spec_.name == "adamw",
            .lambda = lambda_,
            .clip = {.value = spec_.clip_value, .factor = clip_factor_},
            .scalars = scalars_};
}

Sgd Optimizer::sgd_op() const {
    return {.lr = spec_.lr,
            .momentum = spec_.momentum,
            .nesterov = spec_.nesterov,
            .first_step = false,
            .lambda = lambda_,
            .clip = {.value = spec_.clip_value, .factor = clip_factor_},
            .scalars = scalars_};
}

void Optimizer::measure_gradient() {
    if (!clip_factor_.defined()) return;
    std::vector<Tensor> grads;
    for (const Module::Parameter& parameter : parameters_)
        if (parameter.var.grad().defined()) grads.push_back(parameter.var.grad());
    backend(clip_factor_).clip_factor(grads, spec_.clip_norm, clip_factor_);
}

void Optimizer::apply_sgd() {
    std::vector<SgdItem> items;
    items.reserve(slots_.size());
    for (std::size_t i = 0; i < slots_.size(); ++i) {
        Var& parameter = parameters_[i].var;
        if (!parameter.grad().defined()) continue;
        const Slot& slot = slots_[i];
        items.push_back({parameter.value(), parameter.grad(), slot.first, slot.penalty, slot.weight_decay});
    }
    if (!items.empty()) backend(items.front().param).sgd(items, sgd_op());
}

void Optimizer::apply_adam() {
    std::vector<AdamItem> items;
    items.reserve(slots_.size());
    for (std::size_t i = 0; i < slots_.size(); ++i) {
        Var& parameter = parameters_[i].var;
        if (!parameter.grad().defined()) continue;
        const Slot& slot = slots_[i];
        items.push_back(
            {parameter.value(), parameter.grad(), slot.first, slot.second, slot.penalty, slot.weight_decay});
    }
    if (!items.empty()) backend(items.front().param).adam(items, adam_op());
}

StateDict Optimizer::state() const {
    const bool adam = spec_.adaptive();
    StateDict state{{"step", Tensor::from_int64({1}, std::span(&steps_, 1))}};
    for (std::size_t i = 0; i < slots_.size(); ++i) {
        const std::string& parameter = parameters_[i].name;
        if (slots_[i].first.defined())
            state.emplace_back(parameter + (adam ? ".exp_avg" : ".momentum"), slots_[i].first.clone());
        if (slots_[i].second.defined()) state.emplace_back(parameter + ".exp_avg_sq", slots_[i].second.clone());
    }
    return state;
}

void Optimizer::load_state(const StateDict& state) {
    const bool adam = spec_.adaptive();
    std::map<std::string, Tensor> left(state.begin(), state.end());
    Tensor step = Tensor::zeros({1}, DType::int64);
    take(left, "step", step);
    for (std::size_t i = 0; i < slots_.size(); ++i) {
        const std::string& parameter = parameters_[i].name;
        if (slots_[i].first.defined()) take(left, parameter + (adam ? ".exp_avg" : ".momentum"), slots_[i].first);
        if (slots_[i].second.defined()) take(left, parameter + ".exp_avg_sq", slots_[i].second);
    }
    check(left.empty(), "optimizer: the state has an entry '", left.empty() ? "" : left.begin()->first,
          "', which this ", spec_.name, " does not know");
    steps_ = step.int64_data()[0];
}

}  // namespace lethe
