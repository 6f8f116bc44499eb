// Model: an architecture with its input normalisation, its weights, and how to build it again.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "nn/module.h"
#include "nn/naming.h"

namespace lethe {

// Everything needed to build an architecture. `stem` is read by the models that have several.
struct ModelSpec {
    std::string arch = "resnet20";
    int64_t classes = 10;
    std::string stem = "";  // "" = the architecture's own; `lethe inspect --models` lists them
    int64_t image_size =
        0;  // side of the images; 0 = the architecture's own. Read by models whose weights depend on it
    std::string naming = "";                       // under which names the weights came; "" = ours (nn/naming.h)
    std::vector<float> mean = {0.0f, 0.0f, 0.0f};  // input normalisation, per channel, in pixel units [0,1]
    std::vector<float> std = {1.0f, 1.0f, 1.0f};
    std::string transform = "";  // how images become the model's input size (data/transform.h); "" = not known
};

// "cifar10", "cifar100", "imagenet", "none", or "m,m,m/s,s,s". Writes spec.mean and spec.std.
void set_normalization(ModelSpec& spec, const std::string& text);

// Images in, logits out. Normalisation is the model's first layer: images and attacks live in pixel units [0,1].
class Model {
public:
    // Throws Error for an unknown architecture, stem or class count, naming the known ones. Weights are initialised
    // from `seed` (He et al. 2015 for convolutions, PyTorch's uniform for the linear layer), or are zeros without one.
    explicit Model(const ModelSpec& spec, Seed seed = 0);

    const ModelSpec& spec() const { return spec_; }
    Module& net() { return *net_; }
    const Module& net() const { return *net_; }

    // Where the weights are, and where forward() computes. A new model is on the CPU.
    Device device() const { return mean_.device(); }
    void to(Device device);

    // images [N,3,H,W] in [0,1], on the model's device -> logits [N,classes]
    Var forward(const Var& images, BatchNormMode mode);

    StateDict state() const { return net_->state(); }
    // Copies values in. Strict: throws one Error that lists every missing, unexpected and misshapen entry, and any
    // entry that holds NaN or infinity. A leading "module." on every name is ignored; missing "num_batches_tracked"
    // entries are allowed (files older than PyTorch 0.4.1 have none). A state under one of the architecture's other
    // namings is converted first, and spec().naming remembers which. Nothing is changed when it throws.
    void load_state(const StateDict& state);

    // The same architecture with the same weights, in its own memory on the same device.
    std::unique_ptr<Model> clone() const;

private:
    void adopt(const Naming& naming);

    ModelSpec spec_;
    Tensor mean_, std_;
    std::unique_ptr<Module> net_;
};

// Copies the entries of a state that a model of this architecture had, by name, whatever their values: a diverged
// model's NaN, too, which load_state() refuses. Throws Error naming `source` and the entry that is missing or of
// another shape.
void restore_state(Model& model, const StateDict& state, const std::string& source);

// Copies every parameter and buffer between two models of one architecture, on any devices.
void copy_state(const Model& from, Model& to);

// The eval-mode twin used by inference and attacks: each BatchNorm folded into its convolution (w' = w gamma/sqrt(var +
// eps), b' = beta - mean gamma/sqrt(var + eps)), or frozen where none precedes it. Its parameters require no gradient;
// it ignores BatchNormMode.
std::unique_ptr<Model> fold_batchnorm(const Model& model);
// Refreshes an existing twin from its source after the source has changed.
void fold_into(const Model& model, Model& twin);

// logits [N,classes] of images [N,3,H,W] through a folded twin; both on the CPU, wherever the twin is. In chunks of
// images; on the CPU over the thread pool. Bit-identical for any number of threads and, on the CPU, for any N.
Tensor predict(Model& twin, const Tensor& images);
// The same chunks for whoever wants more than the logits: take(number of the first, images of the chunk on the twin's
// device), without gradients; from several threads at once on the CPU.
void infer_in_chunks(Model& twin, const Tensor& images, const std::function<void(int64_t, const Tensor&)>& take);

struct Architecture {
    std::string name;
    std::string summary;             // a few words: whose
    std::vector<std::string> stems;  // the first is the default
    int64_t image_size = 32;         // default side of the images
    std::vector<Naming> namings;     // besides its own names
    std::function<std::unique_ptr<Module>(const ModelSpec&, Seed seed)> build;
    int64_t classes = 1000;  // of its published checkpoints
};
// The registry: one line per architecture in nn/models/registry.cpp.
const std::vector<Architecture>& architectures();
const Architecture& find_architecture(const std::string& name);  // throws Error naming the known ones

// The model's state under `naming`, one of its architecture's or "" for our own. Throws Error for an unknown one.
StateDict state_under(const Model& model, const std::string& naming);

}  // namespace lethe
