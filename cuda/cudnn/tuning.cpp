#include "cuda/cudnn/tuning.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <limits>
#include <nlohmann/json.hpp>

#include "tensor/error.h"

namespace lethe::cuda {
namespace {

constexpr int timed_runs = 5;

using DeviceMemory = Handle<void*, cudaFree>;

// Small finite numbers in float32 and in bfloat16 alike: a GPU computes zeros with less power, hence faster.
constexpr int fill_byte = 0x3c;

DeviceMemory make_device_memory(int64_t bytes) {
    DeviceMemory block;
    check_cuda(cudaMalloc(block.address(), static_cast<std::size_t>(std::max<int64_t>(bytes, 1))), "cudaMalloc");
    check_cuda(cudaMemset(block.get(), fill_byte, static_cast<std::size_t>(bytes)), "cudaMemset");
    check_cuda(cudaDeviceSynchronize(), "cudaDeviceSynchronize");  // other streams do not wait for the memset
    return block;
}

Event make_timing_event() {
    Event event;
    check_cuda(cudaEventCreate(event.address()), "cudaEventCreate");
    return event;
}

}  // namespace

TuningFile::TuningFile(std::string path, std::string machine) : path_(std::move(path)), machine_(std::move(machine)) {
    if (!path_.empty() && std::filesystem::exists(path_)) load();
}

void TuningFile::load() {
    try {
        std::ifstream file(path_);
        const nlohmann::json document = nlohmann::json::parse(file);
        for (const auto& [machine, choices] : document.items())
            for (const auto& [key, choice] : choices.items())
                choices_[machine][key] = {choice.at("plan"), choice.at("microseconds")};
    } catch (const nlohmann::json::exception& error) {
        choices_.clear();
        std::cerr << "lethe: warning: ignoring " << path_ << ", which holds no convolution plans: " << error.what()
                  << "\n";
    }
}

std::optional<std::string> TuningFile::find(const ConvolutionKey& key) const {
    const auto machine = choices_.find(machine_);
    if (machine == choices_.end()) return std::nullopt;
    const auto choice = machine->second.find(describe(key));
    if (choice == machine->second.end()) return std::nullopt;
    return choice->second.plan;
}

void TuningFile::store(const ConvolutionKey& key, const std::string& plan, double microseconds) {
    choices_[machine_][describe(key)] = {plan, microseconds};
    if (!path_.empty()) save();
}

void TuningFile::save() const {
    nlohmann::json document;
    for (const auto& [machine, choices] : choices_)
        for (const auto& [key, choice] : choices)
            document[machine][key] = {{"plan", choice.plan}, {"microseconds", choice.microseconds}};
    const std::string temporary = path_ + ".tmp";
    std::ofstream file(temporary);
    file << document.dump(1) << "\n";
    file.close();
    std::error_code error;
    if (file.good()) std::filesystem::rename(temporary, path_, error);
    check(file.good() && !error, "cannot write the convolution plans to ", path_);
}

double time_plan(const ConvolutionGraph& graph, int64_t plan, const ConvolutionKey& key, cudnnHandle_t handle) {
    const int64_t element = key.precision == Precision::bf16 ? 2 : 4;
    const int64_t x_bytes = element * key.images * key.channels * key.height * key.width;
    const int64_t w_bytes = element * key.filters * (key.channels / key.groups) * key.rows * key.columns;
    const int64_t y_bytes = element * key.images * key.filters * key.out_height() * key.out_width();
    const int64_t largest = std::max({x_bytes, w_bytes, y_bytes});
    const DeviceMemory x = make_device_memory(x_bytes), w = make_device_memory(w_bytes);
    const DeviceMemory grad_y = make_device_memory(y_bytes), bias = make_device_memory(element * key.filters);
    const DeviceMemory added = make_device_memory(largest), mask = make_device_memory(x_bytes);
    const DeviceMemory out = make_device_memory(largest);
    const ConvolutionOperands operands{x.get(), w.get(), grad_y.get(), bias.get(), added.get(), mask.get(), out.get()};
    const auto workspace_bytes = static_cast<int64_t>(graph.workspace_bytes(plan));
    const DeviceMemory workspace = make_device_memory(workspace_bytes);

    const Stream stream = make_stream();
    const Event begin = make_timing_event(), end = make_timing_event();
    float shortest = std::numeric_limits<float>::max();
    for (int run = 0; run < timed_runs; ++run) {  // the first also loads the kernel
        check_cuda(cudaEventRecord(begin.get(), stream.get()), "cudaEventRecord");
        graph.execute(plan, handle, stream.get(), operands, workspace_bytes == 0 ? nullptr : workspace.get());
        check_cuda(cudaEventRecord(end.get(), stream.get()), "cudaEventRecord");
        check_cuda(cudaEventSynchronize(end.get()), "cudaEventSynchronize");
        float milliseconds = 0;
        check_cuda(cudaEventElapsedTime(&milliseconds, begin.get(), end.get()), "cudaEventElapsedTime");
        shortest = std::min(shortest, milliseconds);
    }
    return 1e3 * double{shortest};
}

}  // namespace lethe::cuda
