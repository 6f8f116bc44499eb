#include "nn/model.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "autograd/ops.h"
#include "nn/layers.h"
#include "tensor/error.h"
#include "tensor/parallel.h"

namespace lethe {
namespace {

const Naming& find_naming(const Architecture& architecture, const std::string& name) {
    std::string known;
    for (const Naming& naming : architecture.namings) {
        if (naming.name == name) return naming;
        known += (known.empty() ? "" : ", ") + naming.name;
    }
    fail("model ", architecture.name, " has no naming '", name, "'; it has ", known.empty() ? "its own only" : known);
}

ModelSpec resolved(ModelSpec spec) {
    const Architecture& architecture = find_architecture(spec.arch);
    if (spec.stem.empty()) spec.stem = architecture.stems.front();
    if (std::find(architecture.stems.begin(), architecture.stems.end(), spec.stem) == architecture.stems.end()) {
        std::string known;
        for (const std::string& stem : architecture.stems) known += (known.empty() ? "" : ", ") + stem;
        fail("model ", spec.arch, " has no stem '", spec.stem, "'; it has: ", known);
    }
    if (spec.image_size == 0) spec.image_size = architecture.image_size;
    check(spec.image_size >= 1 && spec.image_size <= 16384, "model ", spec.arch,
          ": the image size must be 1 to 16384, got ", spec.image_size);
    if (!spec.naming.empty()) find_naming(architecture, spec.naming);
    check(spec.classes >= 2 && spec.classes <= 1000000, "model ", spec.arch, ": classes must be at least 2, got ",
          spec.classes);
    check(spec.mean.size() == 3 && spec.std.size() == 3, "model ", spec.arch,
          ": normalisation needs 3 means and 3 standard deviations");
    for (const float value : spec.std)
        check(value > 0 && std::isfinite(value), "model ", spec.arch,
              ": standard deviations must be finite numbers > 0, got ", value);
    return spec;
}

std::vector<float> parse_three(const std::string& text, const std::string& whole) {
    std::vector<float> values;
    std::istringstream in(text);
    std::string item;
    while (std::getline(in, item, ',')) {
        std::size_t used = 0;
        try {
            values.push_back(std::stof(item, &used));
        } catch (const std::exception&) {
            used = std::string::npos;
        }
        check(used == item.size() && !values.empty() && std::isfinite(values.back()), "normalize: '", item, "' in '",
              whole, "' is not a number");
    }
    check(values.size() == 3, "normalize: '", whole,
          "' must be cifar10, cifar100, imagenet, none or three means, '/', three standard deviations, like "
          ".5,.5,.5/.25,.25,.25");
    return values;
}

bool finite(const Tensor& given) {
    if (given.dtype() != DType::float32) return true;
    const Tensor tensor = given.cpu();
    return std::all_of(tensor.values().begin(), tensor.values().end(),
                       [](float value) { return std::isfinite(value); });
}

std::string without_module(const std::string& name) { return name.starts_with("module.") ? name.substr(7) : name; }

// Which of the architecture's other namings `state` is written under; null: none of them.
const Naming* naming_of(const Architecture& architecture, const StateDict& state) {
    for (const Naming& naming : architecture.namings)
        for (const auto& [name, tensor] : state)
            if (name == naming.marker) return &naming;
    return nullptr;
}

// At most ten names, so that loading the wrong architecture does not print a screenful twice.
std::string listed(const char* title, const std::vector<std::string>& names) {
    if (names.empty()) return "";
    std::string text = concat("\n  ", title, " (", names.size(), "):");
    for (std::size_t i = 0; i < std::min<std::size_t>(names.size(), 10); ++i) text += " " + names[i];
    return names.size() > 10 ? text + " ..." : text;
}

}  // namespace

const Architecture& find_architecture(const std::string& name) {
    std::string known;
    for (const Architecture& architecture : architectures()) {
        if (architecture.name == name) return architecture;
        known += (known.empty() ? "" : ", ") + architecture.name;
    }
    fail("unknown model '", name, "'; known models: ", known);
}

void set_normalization(ModelSpec& spec, const std::string& text) {
    // cifar10, cifar100: per-channel statistics of the training images, as the unlearning reference uses them;
    // imagenet: torchvision's.
    static const std::map<std::string, std::pair<std::vector<float>, std::vector<float>>> known{
        {"cifar10", {{0.4914f, 0.4822f, 0.4465f}, {0.2023f, 0.1994f, 0.2010f}}},
        {"cifar100", {{0.5071f, 0.4867f, 0.4408f}, {0.2675f, 0.2565f, 0.2761f}}},
        {"imagenet", {{0.485f, 0.456f, 0.406f}, {0.229f, 0.224f, 0.225f}}},
        {"none", {{0, 0, 0}, {1, 1, 1}}},
    };
    if (const auto found = known.find(text); found != known.end()) {
        spec.mean = found->second.first;
        spec.std = found->second.second;
        return;
    }
    const std::size_t slash = text.find('/');
    spec.mean = parse_three(text.substr(0, slash), text);
    spec.std = parse_three(slash == std::string::npos ? "" : text.substr(slash + 1), text);
    for (const float value : spec.std) check(value > 0, "normalize: standard deviations in '", text, "' must be > 0");
}

Model::Model(const ModelSpec& spec, Seed seed)
    : spec_(resolved(spec)),
      mean_(Tensor::from_nchw({3}, spec_.mean)),
      std_(Tensor::from_nchw({3}, spec_.std)),
      net_(find_architecture(spec_.arch).build(spec_, seed)) {
    if (!spec_.naming.empty()) adopt(find_naming(find_architecture(spec_.arch), spec_.naming));
}

void Model::adopt(const Naming& naming) {
    spec_.naming = naming.name;
    if (naming.adopt) naming.adopt(*net_);
}

void Model::to(Device device) {
    mean_ = mean_.to(device);
    std_ = std_.to(device);
    net_->to(device);
}

Var Model::forward(const Var& images, BatchNormMode mode) {
    check(images.shape().rank() == 4 && images.shape()[1] == 3, "model ", spec_.arch,
          ": images must be [N,3,H,W], got ", images.shape());
    return net_->forward(normalize(images, mean_, std_), mode);
}

void Model::load_state(const StateDict& state_given) {
    StateDict given;
    for (const auto& [name, tensor] : state_given) given.emplace_back(without_module(name), tensor);
    const Naming* naming = naming_of(find_architecture(spec_.arch), given);
    if (naming != nullptr) given = naming->to_ours(given);
    std::map<std::string, const Tensor*> entries;
    for (const auto& [name, tensor] : given) entries[name] = &tensor;

    std::vector<std::string> missing, misshapen, not_finite, unexpected;
    StateDict own = state();
    for (const auto& [name, tensor] : own) {
        const auto entry = entries.find(name);
        if (entry == entries.end()) {
            if (!name.ends_with("num_batches_tracked")) missing.push_back(name);
            continue;
        }
        const Tensor& value = *entry->second;
        if (value.shape() != tensor.shape() || value.dtype() != tensor.dtype())
            misshapen.push_back(concat(name, " is ", value.shape(), ", needs ", tensor.shape(), ";"));
        else if (!finite(value))
            not_finite.push_back(name);
    }
    for (const auto& [name, tensor] : given)
        if (std::none_of(own.begin(), own.end(), [&name = name](const auto& entry) { return entry.first == name; }))
            unexpected.push_back(name);
    if (!missing.empty() || !misshapen.empty() || !unexpected.empty() || !not_finite.empty())
        fail("these weights do not fit model ", spec_.arch, " with ", spec_.classes, " classes",
             listed("missing", missing), listed("unexpected", unexpected), listed("wrong shape", misshapen),
             listed("holding NaN or infinity", not_finite));

    for (auto& [name, tensor] : own)
        if (const auto entry = entries.find(name); entry != entries.end()) tensor.copy_from(*entry->second);
    if (naming != nullptr) adopt(*naming);
}

StateDict state_under(const Model& model, const std::string& naming) {
    if (naming.empty()) return model.state();
    return find_naming(find_architecture(model.spec().arch), naming).from_ours(model.state());
}

std::unique_ptr<Model> Model::clone() const {
    auto copy = std::make_unique<Model>(spec_, std::nullopt);
    copy->to(device());
    copy_state(*this, *copy);
    return copy;
}

void restore_state(Model& model, const StateDict& state, const std::string& source) {
    const StateDict own = model.state();
    check(state.size() == own.size(), source, " has ", state.size(), " tensors, the model ", own.size());
    for (const auto& [name, tensor] : own) {
        const auto found =
            std::find_if(state.begin(), state.end(), [&name = name](const auto& entry) { return entry.first == name; });
        check(found != state.end(), source, " has no tensor ", name);
        check(found->second.shape() == tensor.shape() && found->second.dtype() == tensor.dtype(), source, ": ", name,
              " is ", found->second.shape(), ", the model's is ", tensor.shape());
        Tensor target = tensor;
        target.copy_from(found->second);
    }
}

void copy_state(const Model& from, Model& to) {
    const StateDict source = from.state();
    StateDict target = to.state();
    check(source.size() == target.size(), "copy_state: models ", from.spec().arch, " and ", to.spec().arch, " differ");
    for (std::size_t i = 0; i < source.size(); ++i) target[i].second.copy_from(source[i].second);
}

std::unique_ptr<Model> fold_batchnorm(const Model& model) {
    auto twin = std::make_unique<Model>(model.spec(), std::nullopt);
    twin->to(model.device());
    twin->net().set_requires_grad(false);
    fold_into(model, *twin);
    return twin;
}

void fold_into(const Model& model, Model& twin) {
    copy_state(model, twin);
    twin.net().for_each([](Module& module) {
        if (auto* layer = dynamic_cast<ConvBn*>(&module)) layer->fold();
        if (auto* norm = dynamic_cast<BatchNorm2d*>(&module)) norm->freeze();  // no convolution before it
        if (auto* dropout = dynamic_cast<DropoutLayer*>(&module)) dropout->freeze();
    });
}

void infer_in_chunks(Model& twin, const Tensor& images, const std::function<void(int64_t, const Tensor&)>& take) {
    check(images.rank() == 4, "predict: images must be [N,3,H,W], got ", images.shape());
    const int64_t n = images.dim(0);
    // On the CPU, 16 images of a CIFAR ResNet keep their activations in a core's cache, and whole-net chunks need no
    // barrier per layer; of larger images four share the layers' weights, fewer where that leaves threads without work.
    // A GPU is filled by hundreds of small images, or fewer larger ones.
    const bool concurrent = backend(twin.device()).concurrent();
    const int64_t pixels = std::max<int64_t>(1, images.dim(2) * images.dim(3));
    const int64_t even = (n + threads() - 1) / threads();
    const int64_t most = std::clamp<int64_t>(4 * 224 * 224 / pixels, 1, 16);
    const int64_t chunk =
        concurrent ? std::clamp<int64_t>(even, 1, most) : std::clamp<int64_t>(512 * 32 * 32 / pixels, 1, 512);
    const int64_t chunks = (n + chunk - 1) / chunk;
    const auto infer = [&](int64_t i) {
        const NoGrad inference;
        take(i * chunk, images.rows(i * chunk, std::min(n, (i + 1) * chunk)).to(twin.device()));
    };
    if (concurrent)
        parallel_for(chunks, infer);
    else
        for (int64_t i = 0; i < chunks; ++i) infer(i);
}

Tensor predict(Model& twin, const Tensor& images) {
    Tensor logits = Tensor::empty({images.dim(0), twin.spec().classes});
    infer_in_chunks(twin, images, [&](int64_t begin, const Tensor& part) {
        const Tensor rows = twin.forward(part, BatchNormMode::running).value();
        logits.rows(begin, begin + part.dim(0)).copy_from(rows);
    });
    return logits;
}

}  // namespace lethe
