// Convolutions by cuDNN: one plan per key, built when it is first asked for and kept.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>

#include "cuda/cudnn/convolution_graph.h"
#include "cuda/cudnn/tuning.h"

namespace lethe::cuda {

struct ConvolutionOptions {
    std::size_t workspace_limit = std::size_t{1} << 30;  // plans that want more are not taken
    // 0: the best plan according to cuDNN's heuristics. Otherwise the fastest of that many, measured when a key is
    // first seen, outside any recording; results are the same bits from run to run only while the choice is, so keep it
    // in tuning_file ("" keeps nothing).
    int tuned_plans = 0;
    std::string tuning_file;
};

// Safe to use from several threads; the plans' kernels run in the order of the streams given.
class ConvolutionPlans {
public:
    explicit ConvolutionPlans(ConvolutionOptions options = {});  // throws Error where there is no cuDNN or no GPU

    bool supported(const ConvolutionKey& key);
    std::string problem(const ConvolutionKey& key);  // why not; empty when supported
    // Both throw Error with problem() for a key that is not supported.
    std::size_t workspace_bytes(const ConvolutionKey& key);
    // `workspace` is of workspace_bytes(key), and null when that is 0.
    void execute(const ConvolutionKey& key, const ConvolutionOperands& operands, void* workspace, cudaStream_t stream);

    uint64_t built() const;  // keys for which a plan was built so far
    uint64_t timed() const;  // plans that were measured so far

private:
    struct Entry {
        std::optional<ConvolutionGraph> graph;  // empty when the key is not supported
        int64_t plan = 0;
        std::string problem;
    };

    Entry& find(const ConvolutionKey& key);
    Entry& need(const ConvolutionKey& key);
    Entry make(const ConvolutionKey& key);
    std::optional<int64_t> choose(const ConvolutionKey& key, ConvolutionGraph& graph);

    ConvolutionOptions options_;
    CudnnHandle handle_;
    TuningFile tuning_;
    mutable std::mutex mutex_;
    std::map<ConvolutionKey, Entry> entries_;
    uint64_t built_ = 0, timed_ = 0;
};

// What cuDNN would do on a device that is not here.
struct PlanReport {
    enum class State {
        none,       // no plan that keeps the key's rules
        supported,  // the plan passes cuDNN's checks; its kernels are compiled and loaded where the device is
        built,      // the plan is complete
    };
    State state = State::none;
    int64_t proposals = 0;  // by cuDNN's heuristics, before the key's rules
    std::string plan;       // the first that keeps them
    bool compiled_at_run_time = false;
    std::size_t workspace_bytes = 0;  // of a plan that was built
    std::string problem;              // cuDNN's text when state is not built
};
const char* name(PlanReport::State state);

// `device_json`: cuda/cudnn/h200.json, or another device's. Kernels that would be compiled at run time are proposed
// only where a libcuda.so.1 is loaded, be it the toolkit's stub. Throws Error where there is no cuDNN.
PlanReport plan_without_device(const ConvolutionKey& key, const std::string& device_json,
                               std::size_t workspace_limit = ConvolutionOptions().workspace_limit);

}  // namespace lethe::cuda
