#include "nn/module.h"

#include "tensor/backend.h"
#include "tensor/error.h"

namespace lethe {
namespace {

// A child registered under "" adds nothing to its descendants' names.
std::string join(const std::string& prefix, const std::string& name) {
    if (prefix.empty()) return name;
    return name.empty() ? prefix : prefix + "." + name;
}

thread_local Listener* listener = nullptr;

}  // namespace

Listener::Listener(Hear hear) : hear_(std::move(hear)), previous_(listener) { listener = this; }
Listener::~Listener() { listener = previous_; }

Var Module::operator()(const Var& x, BatchNormMode mode) {
    Var y = forward(x, mode);
    if (listener != nullptr) listener->hear_(*this, x, y);
    return y;
}

Var Module::add_parameter(const std::string& name, Tensor value) {
    parameters_.push_back({name, Var(std::move(value), true)});
    return parameters_.back().var;
}

void Module::add_buffer(const std::string& name, Tensor& tensor) { buffers_.push_back({name, &tensor}); }

void Module::add_child(const std::string& name, Module& child) { children_.push_back({name, &child}); }

void Module::collect(const std::string& prefix, std::vector<Parameter>* parameters, std::vector<Buffer>* buffers,
                     StateDict* state) const {
    for (const Parameter& entry : parameters_) {
        if (parameters != nullptr) parameters->push_back({join(prefix, entry.name), entry.var});
        if (state != nullptr) state->emplace_back(join(prefix, entry.name), entry.var.value());
    }
    for (const OwnBuffer& entry : buffers_) {
        if (buffers != nullptr) buffers->push_back({join(prefix, entry.name), *entry.tensor});
        if (state != nullptr) state->emplace_back(join(prefix, entry.name), *entry.tensor);
    }
    for (const Child& child : children_) child.module->collect(join(prefix, child.name), parameters, buffers, state);
}

std::vector<Module::Parameter> Module::parameters() const {
    std::vector<Parameter> all;
    collect("", &all, nullptr, nullptr);
    return all;
}

std::vector<Module::Buffer> Module::buffers() const {
    std::vector<Buffer> all;
    collect("", nullptr, &all, nullptr);
    return all;
}

StateDict Module::state() const {
    StateDict all;
    collect("", nullptr, nullptr, &all);
    return all;
}

std::optional<std::string> Module::find(const std::string& prefix, const Module& descendant) const {
    if (this == &descendant) return prefix;
    for (const Child& child : children_)
        if (auto name = child.module->find(join(prefix, child.name), descendant)) return name;
    return std::nullopt;
}

std::string Module::name_of(const Module& descendant) const {
    const std::optional<std::string> name = find("", descendant);
    check(name.has_value(), "module: the one asked for is no part of this one");
    if (!name->empty() || this == &descendant) return *name;
    const std::string first = descendant.parameters().front().name;
    return first.substr(0, first.rfind('.'));
}

void Module::for_each(const std::function<void(Module&)>& visit) {
    visit(*this);
    for (const Child& child : children_) child.module->for_each(visit);
}

void Module::zero_grad() {
    for (Parameter& parameter : parameters()) {
        Tensor grad = parameter.var.grad();
        if (grad.defined() && backend(grad).can_record())
            backend(grad).fill(grad, 0.0f);
        else
            parameter.var.zero_grad();
    }
}

void Module::to(Device device) {
    for_each([device](Module& module) {
        for (Parameter& parameter : module.parameters_) {
            parameter.var.zero_grad();
            parameter.var.value() = parameter.var.value().to(device);
        }
        for (OwnBuffer& buffer : module.buffers_) *buffer.tensor = buffer.tensor->to(device);
    });
}

void Module::set_requires_grad(bool on) {
    for (Parameter& parameter : parameters()) parameter.var.set_requires_grad(on);
}

}  // namespace lethe
