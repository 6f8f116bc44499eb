// Module: named parameters and buffers, PyTorch's names.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "autograd/var.h"
#include "tensor/tensor.h"

namespace lethe {

// How BatchNorm computes, for one forward pass. It decides more about unlearning than most hyper-parameters, so it is
// an argument and not a hidden state.
enum class BatchNormMode {
    batch,    // statistics of this batch; running statistics are updated (PyTorch's train())
    running,  // running statistics as constants (PyTorch's eval()); also "frozen" when parameters are being trained
    batch_no_update,  // statistics of this batch; running statistics stay
};

// Of a new model's weights. None: zeros, for weights that are about to be copied in.
using Seed = std::optional<uint64_t>;

// The base of layers and models. A module registers its parameters, buffers and children under PyTorch's names, so that
// state() lists them as PyTorch's state_dict does. Modules are not copied: build another and load_state() it.
class Module {
public:
    struct Parameter {
        std::string name;
        Var var;
    };
    struct Buffer {
        std::string name;
        Tensor tensor;
    };

    Module() = default;
    virtual ~Module() = default;
    Module(const Module&) = delete;
    Module& operator=(const Module&) = delete;

    // x [N,C,H,W] for a model; layers document theirs.
    virtual Var forward(const Var& x, BatchNormMode mode) = 0;
    // forward(), which this thread's Listener is told of. A model runs its blocks and its last layer like this.
    Var operator()(const Var& x, BatchNormMode mode);

    // Own and descendants', in registration order, with dotted names ("layer1.0.conv1.weight"). Handles share memory
    // with the module.
    std::vector<Parameter> parameters() const;
    std::vector<Buffer> buffers() const;
    // Parameters and buffers in PyTorch's state_dict order.
    StateDict state() const;

    // The dotted name of a descendant. Of one that was added as "" (so was the stem of most models) the part of its
    // first parameter's name that is not the parameter's own: "conv1". Throws Error for a module that is none.
    std::string name_of(const Module& descendant) const;

    // Calls visit on this module and every descendant, parents first.
    void for_each(const std::function<void(Module&)>& visit);

    // Gradients become undefined; on a device that records steps, zeros in the memory they have, so that a recorded
    // step and whoever reads its gradients agree on where they are.
    void zero_grad();
    void set_requires_grad(bool on);

    // Moves every parameter and buffer, own and descendants'. Handles taken before keep the old memory.
    void to(Device device);

protected:
    Var add_parameter(const std::string& name, Tensor value);
    // `tensor` is a member of this module.
    void add_buffer(const std::string& name, Tensor& tensor);
    // The child must outlive this module (a member of it, usually). Names may hold dots ("downsample.0"); a child
    // named "" adds nothing to its descendants' names.
    void add_child(const std::string& name, Module& child);

private:
    struct OwnBuffer {
        std::string name;
        Tensor* tensor;
    };
    struct Child {
        std::string name;
        Module* module;
    };
    // Entries in PyTorch's order: own parameters, own buffers, then children.
    void collect(const std::string& prefix, std::vector<Parameter>* parameters, std::vector<Buffer>* buffers,
                 StateDict* state) const;
    std::optional<std::string> find(const std::string& prefix, const Module& descendant) const;

    std::vector<Parameter> parameters_;
    std::vector<OwnBuffer> buffers_;
    std::vector<Child> children_;
};

// While it lives, the modules that this thread runs by operator() are heard, with what they were given and gave
// (PyTorch's forward hooks, for a whole thread at once). Of several the last one made hears.
class Listener {
public:
    using Hear = std::function<void(const Module& module, const Var& input, const Var& output)>;
    explicit Listener(Hear hear);
    ~Listener();
    Listener(const Listener&) = delete;
    Listener& operator=(const Listener&) = delete;

private:
    friend class Module;
    Hear hear_;
    Listener* previous_;
};

}  // namespace lethe
