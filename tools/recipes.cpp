#include "tools/recipes.h"

#include <algorithm>

#include "tensor/error.h"

namespace lethe::tools {
namespace {

using Options = std::vector<std::pair<std::string, std::string>>;

Options operator+(Options left, const Options& right) {
    left.insert(left.end(), right.begin(), right.end());
    return left;
}

// What the CIFAR pretraining scripts of the unlearning reference (csm9493/L2UL) have in common.
const Options reference_cifar{
    {"epochs", "200"},   {"batch-size", "128"}, {"optimizer", "sgd"},     {"lr", "0.01"},
    {"momentum", "0.9"}, {"nesterov", "false"}, {"weight-decay", "5e-4"}, {"schedule", "cosine-epoch"},
    {"crop-pad", "4"},   {"seed", "1"},         {"keep", "last"}};

// Of its UTKFace script; lr and weight decay are those of the grouping MFD, docs/training.md has the others'. The
// script divides pixels by 255 once more than usual: here that is the normalisation. The transform is the dataset's.
const Options reference_utkface{{"model", "resnet18"},    {"stem", "cifar"},     {"normalize", "0,0,0/255,255,255"},
                                {"epochs", "100"},        {"batch-size", "128"}, {"optimizer", "adam"},
                                {"lr", "1e-4"},           {"weight-decay", "0"}, {"clip-value", "0.1"},
                                {"schedule", "onecycle"}, {"validation", "own"}, {"keep", "best"}};

// Ours; docs/training.md says what was tried.
const Options fast{{"model", "resnet18"},
                   {"stem", "cifar-maxpool"},
                   {"normalize", "cifar10"},
                   {"epochs", "8"},
                   {"batch-size", "64"},
                   {"optimizer", "sgd"},
                   {"lr", "0.1"},
                   {"momentum", "0.9"},
                   {"nesterov", "true"},
                   {"weight-decay", "5e-4"},
                   {"schedule", "onecycle"},
                   {"crop-pad", "4"},
                   {"label-smoothing", "0.1"},
                   {"keep", "last"}};

}  // namespace

const std::vector<Recipe>& recipes() {
    static const std::vector<Recipe> all{
        {"fast", "ours: the reference's CIFAR-10 network in 8 epochs, for a CPU", fast},
        {"cifar10-resnet18", "the reference's CIFAR-10 network: SGD, cosine over 200 epochs",
         Options{{"model", "resnet18"}, {"stem", "cifar-maxpool"}, {"normalize", "cifar10"}} + reference_cifar},
        {"cifar100-resnet50", "the reference's CIFAR-100 network: the same with ResNet-50",
         Options{{"model", "resnet50"}, {"stem", "cifar"}, {"normalize", "cifar100"}} + reference_cifar},
        {"utkface-resnet18", "the reference's UTKFace network: Adam, one cycle of 100 epochs, the best is kept",
         reference_utkface},
    };
    return all;
}

std::vector<std::string> expand_recipe(const std::vector<std::string>& arguments) {
    if (arguments.empty() || arguments.front() != "train") return arguments;
    std::string name;
    for (std::size_t i = 1; i < arguments.size(); ++i) {
        if (arguments[i] == "--recipe" && i + 1 < arguments.size()) name = arguments[i + 1];
        if (arguments[i].starts_with("--recipe=")) name = arguments[i].substr(9);
    }
    if (name.empty()) return arguments;
    std::string known;
    for (const Recipe& recipe : recipes()) {
        known += (known.empty() ? "" : ", ") + recipe.name;
        if (recipe.name != name) continue;
        std::vector<std::string> expanded{"train"};
        for (const auto& [option, value] : recipe.options) expanded.push_back("--" + option + "=" + value);
        expanded.insert(expanded.end(), arguments.begin() + 1, arguments.end());
        return expanded;
    }
    fail("train: unknown recipe '", name, "'; known ones are ", known);
}

}  // namespace lethe::tools
