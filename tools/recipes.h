// Recipes: `lethe train --recipe NAME` stands for a list of options.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace lethe::tools {

struct Recipe {
    std::string name;
    std::string summary;  // one line: what it trains and where it comes from
    std::vector<std::pair<std::string, std::string>> options;
};
const std::vector<Recipe>& recipes();

// `arguments` of `lethe train` with those of its --recipe in front, so that options given by the person win; others
// unchanged. Throws Error for an unknown recipe, naming the known ones.
std::vector<std::string> expand_recipe(const std::vector<std::string>& arguments);

}  // namespace lethe::tools
