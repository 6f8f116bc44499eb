// What `lethe unlearn` works on, for those who look at a run that has ended.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "unlearn/run.h"

namespace lethe::tools {

struct UnlearnInputs {
    std::unique_ptr<Model> model;
    Dataset train, test;
    std::function<std::vector<int64_t>()> select_forget_set;  // valid while this lives where it was made
    RunOptions options;
    Json config;  // of config.json, without the command's name
    Json inputs;  // of inputs.json

    // The images that a forget-set expression selects; `model` is asked for misclassified ones.
    std::vector<int64_t> select(const std::string& expression) const;
};

// Loads what `lethe unlearn` would with these arguments ("--config", FILE, "--data", ...). Nothing is written. Throws
// Error.
std::unique_ptr<UnlearnInputs> load_unlearn_inputs(const std::vector<std::string>& arguments);

}  // namespace lethe::tools
