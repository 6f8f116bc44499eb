// Naming: one architecture whose published checkpoints are written under other names than ours.
#pragma once

#include <functional>
#include <string>

#include "nn/module.h"
#include "tensor/tensor.h"

namespace lethe {

// A model has one set of names (torchvision's, where it has the architecture). A file under other names is the same
// model and a map. The two functions are inverse to each other, bit by bit, and neither computes: they rename, stack
// and cut.
struct Naming {
    std::string name;    // "huggingface"
    std::string marker;  // an entry that every file of this naming has, and no file under our names
    // Throw Error naming the entry where one is missing or misshapen; entries that they do not know pass unchanged, for
    // strict loading to report.
    std::function<StateDict(const StateDict& theirs)> to_ours;
    std::function<StateDict(const StateDict& ours)> from_ours;
    // What else differs in models of this naming, a constant perhaps: set on a model of ours. Empty: nothing does.
    std::function<void(Module& net)> adopt = {};
};

}  // namespace lethe
