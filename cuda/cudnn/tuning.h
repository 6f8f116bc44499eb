// Choosing convolution plans by measuring them.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "cuda/cudnn/convolution_graph.h"

namespace lethe::cuda {

// The fastest plan of each convolution, kept between runs: JSON, by machine and key.
class TuningFile {
public:
    // `machine` names everything besides the key that the choice depends on: cuDNN's version and the device. A file
    // that cannot be read is ignored, with one warning on stderr. An empty path keeps nothing.
    TuningFile(std::string path, std::string machine);

    std::optional<std::string> find(const ConvolutionKey& key) const;  // the plan's name
    // Writes the file, to a temporary name first; the choices of other machines stay. Throws Error when it cannot.
    void store(const ConvolutionKey& key, const std::string& plan, double microseconds);

private:
    struct Choice {
        std::string plan;
        double microseconds;
    };
    void load();
    void save() const;

    std::string path_, machine_;
    std::map<std::string, std::map<std::string, Choice>> choices_;  // by machine, by describe(key)
};

// Microseconds of one execution of a built plan on data of its own: the shortest of several runs.
double time_plan(const ConvolutionGraph& graph, int64_t plan, const ConvolutionKey& key, cudnnHandle_t handle);

}  // namespace lethe::cuda
