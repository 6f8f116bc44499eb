// Descriptions of the metrics that `lethe measure` computes, for --help, `lethe inspect --metrics` and the tables.
#pragma once

#include <string>
#include <vector>

namespace lethe {

struct Metric {
    std::string name;       // as in metrics.json and docs/metrics.md
    std::string formula;    // one line
    std::string direction;  // which way is good for forgetting
    std::string chance;     // what a model gives that tells nothing, or that has forgotten everything
    std::string source;
};

const std::vector<Metric>& metrics();
const Metric& find_metric(const std::string& name);  // throws Error naming the known ones

}  // namespace lethe
