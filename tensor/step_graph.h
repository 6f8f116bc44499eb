// StepGraph: a step that runs many times, recorded once.
#pragma once

#include <functional>
#include <memory>

#include "tensor/backend.h"

namespace lethe {

// A small network's step is a few hundred short kernels; giving each to a GPU one by one takes longer than running
// them. A device that can record (Backend::can_record) is therefore asked to write the step down and then to run what
// it wrote, which is one call. On other devices, run() simply calls the step.
//
// What a recorded step may do: operations on tensors of one device. It must not wait for the device or read its memory
// (item(), cpu()), and everything that changes from run to run must lie in tensors that are written before run():
// learning rates (Sgd::scalars), the batch. The step must use the same shapes and the same memory each time; tensors
// that it made are overwritten by the next run.
class StepGraph {
public:
    // `device` must outlive this object.
    explicit StepGraph(Backend& device) : device_(device) {}

    // The first call runs `step` itself (plans are built, memory is found), the second records it, and every call from
    // then on runs the recording. If `step` throws, nothing stays recorded.
    void run(const std::function<void()>& step);

    bool recorded() const { return recording_ != nullptr; }

private:
    void record(const std::function<void()>& step);

    Backend& device_;
    bool warm_ = false;
    std::unique_ptr<Backend::Recording> recording_;
};

}  // namespace lethe
