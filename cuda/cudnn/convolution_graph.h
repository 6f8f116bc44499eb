// One convolution as a cuDNN operation graph, and the plans that cuDNN proposes for it.
#pragma once

#include <cudnn.h>

#include <cstddef>
#include <memory>
#include <string>

#include "cuda/cudnn/convolution_key.h"
#include "cuda/runtime.h"

namespace lethe::cuda {

// Device addresses, 16-byte aligned. Those that a kind does not read stay null.
struct ConvolutionOperands {
    const void* x = nullptr;       // forward*, grad_w
    const void* w = nullptr;       // forward*, grad_x*
    const void* grad_y = nullptr;  // grad_x*, grad_w
    const void* bias = nullptr;    // forward_bias*
    const void* added = nullptr;   // the residual of forward*, the other gradient of grad_x_skip_relu_mask
    const void* mask = nullptr;    // grad_x*_relu_mask: the relu's result, or its argument
    void* out = nullptr;
};

bool aligned_for_cudnn(const ConvolutionOperands& operands);  // as execute() needs it

cudnnStatus_t destroy_cudnn_handle(cudnnHandle_t handle);
using CudnnHandle = Handle<cudnnHandle_t, destroy_cudnn_handle>;
CudnnHandle make_cudnn_handle();  // for the current device; throws Error with cuDNN's text

// The properties of the current device, as the JSON from which plans are made without it.
std::string device_properties_json();

// Plans are numbered as cuDNN's heuristics order them, best first. Those that break the key's rules are refused:
// `deterministic` drops what is not, `strict` drops tensor cores (TF32), every precision drops sums in less than
// float32.
class ConvolutionGraph {
public:
    // Throws Error with cuDNN's text when cuDNN proposes nothing at all.
    ConvolutionGraph(const ConvolutionKey& key, cudnnHandle_t handle, std::size_t workspace_limit);
    // For a device that need not be here: its properties as JSON (cuda/cudnn/h200.json). Such plans are not executed.
    ConvolutionGraph(const ConvolutionKey& key, const std::string& device_json, std::size_t workspace_limit);
    ~ConvolutionGraph();
    ConvolutionGraph(ConvolutionGraph&&) noexcept;
    ConvolutionGraph& operator=(ConvolutionGraph&&) noexcept;

    int64_t proposals() const;
    std::string plan_name(int64_t plan) const;        // engine and knobs: "eng67_k2=1_k13=0_k18=0"
    bool compiled_at_run_time(int64_t plan) const;    // else the library holds its kernels
    std::size_t workspace_bytes(int64_t plan) const;  // of a plan that was built

    // What the key's rules and cuDNN's own checks say of a plan before it is built, and building it, which compiles and
    // loads its kernels where they are compiled at run time. When the answer is no, refusal() says why.
    bool supports(int64_t plan);
    bool build(int64_t plan);
    const std::string& refusal() const;

    // Throws Error with cuDNN's text, or where an address is null or not aligned.
    void execute(int64_t plan, cudnnHandle_t handle, cudaStream_t stream, const ConvolutionOperands& operands,
                 void* workspace) const;

private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace lethe::cuda
