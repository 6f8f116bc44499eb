#include "tensor/step_graph.h"

namespace lethe {

void StepGraph::run(const std::function<void()>& step) {
    if (!device_.can_record()) return step();
    if (!warm_) {
        step();
        warm_ = true;
        return;
    }
    if (recording_ == nullptr) record(step);
    recording_->run();
}

void StepGraph::record(const std::function<void()>& step) {
    device_.begin_recording();
    try {
        step();
        recording_ = device_.end_recording();
    } catch (...) {
        device_.abandon_recording();
        warm_ = false;
        throw;
    }
}

}  // namespace lethe
