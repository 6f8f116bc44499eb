#include "cuda/emulation/streams.h"

#include <chrono>
#include <map>
#include <memory>
#include <vector>

#include "cuda/emulation/memory.h"
#include "tensor/error.h"

namespace lethe::emulated {

using Clock = std::chrono::steady_clock;
using WorkList = std::vector<emulation::Work>;

struct Capture {
    WorkList work;
    cudaStreamCaptureMode mode;
    bool valid = true;
};

struct CUstream_st {
    std::unique_ptr<Capture> capture{};  // while the stream is captured
};
struct CUevent_st {
    bool timed;
    bool recorded = false;
    Clock::time_point time{};
    cudaStream_t captured_in = nullptr;  // the stream, if it was captured when it last recorded this event
};
struct CUgraph_st {
    std::shared_ptr<const WorkList> work;
};
struct CUgraphExec_st {
    std::shared_ptr<const WorkList> work;
};

namespace {

// The live objects of one kind; every other handle is refused.
template <class T>
class Objects {
public:
    T* create(T value) {
        auto object = std::make_unique<T>(std::move(value));
        T* handle = object.get();
        live_.emplace(handle, std::move(object));
        return handle;
    }
    cudaError_t destroy(T* handle) {
        return emulation::result(live_.erase(handle) != 0 ? cudaSuccess : cudaErrorInvalidResourceHandle);
    }
    bool has(T* handle) const { return live_.count(handle) != 0; }
    const auto& all() const { return live_; }

private:
    std::map<T*, std::unique_ptr<T>> live_;
};

// Never destroyed: other static objects may still destroy streams when the program ends.
template <class T>
Objects<T>& objects() {
    static auto& instance = *new Objects<T>;
    return instance;
}

bool is_stream(cudaStream_t stream) { return stream == nullptr || objects<CUstream_st>().has(stream); }
bool is_event(cudaEvent_t event) { return objects<CUevent_st>().has(event); }
Capture* capture_of(cudaStream_t stream) { return stream == nullptr ? nullptr : stream->capture.get(); }

bool valid_configuration(const emulation::Launch& launch) {
    const dim3 &grid = launch.grid, &block = launch.block;
    const auto threads = std::size_t{block.x} * block.y * block.z;
    return threads > 0 && threads <= 1024 && block.z <= 64 && grid.x <= 0x7fffffffu && grid.y <= 65535 &&
           grid.z <= 65535 && launch.shared <= emulation::max_shared_bytes;
}

void run(const emulation::Launch& launch) {
    emulation::device_memory().verify("the CPU");
    try {
        emulation::scheduler().run(launch);
    } catch (...) {
        emulation::device_memory().restore();  // one report is enough, and the next kernel must not be blamed
        throw;
    }
    emulation::device_memory().verify("kernel " + launch.kernel);
}

}  // namespace

using emulation::result;

cudaError_t cudaStreamCreate(cudaStream_t* stream) {
    *stream = objects<CUstream_st>().create({});
    return cudaSuccess;
}
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) { return cudaStreamCreate(stream); }
cudaError_t cudaStreamDestroy(cudaStream_t stream) { return objects<CUstream_st>().destroy(stream); }

// Everything given to a stream has been done already; what remains is to refuse what CUDA refuses.
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
    if (!is_stream(stream)) return result(cudaErrorInvalidResourceHandle);
    if (Capture* capture = capture_of(stream)) {
        capture->valid = false;
        return result(cudaErrorStreamCaptureUnsupported);
    }
    return cudaSuccess;
}

// A capture spans one stream here: no dependency may lead into or out of it.
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
    if (!is_stream(stream) || !is_event(event)) return result(cudaErrorInvalidResourceHandle);
    const cudaStream_t captured = capture_of(stream) != nullptr ? stream : nullptr;
    return result(captured == event->captured_in ? cudaSuccess : cudaErrorStreamCaptureIsolation);
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
    *event = objects<CUevent_st>().create({.timed = (flags & cudaEventDisableTiming) == 0});
    return cudaSuccess;
}
cudaError_t cudaEventCreate(cudaEvent_t* event) { return cudaEventCreateWithFlags(event, cudaEventDefault); }
cudaError_t cudaEventDestroy(cudaEvent_t event) { return objects<CUevent_st>().destroy(event); }

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
    if (!is_stream(stream) || !is_event(event)) return result(cudaErrorInvalidResourceHandle);
    event->captured_in = capture_of(stream) != nullptr ? stream : nullptr;
    event->recorded = event->captured_in == nullptr;
    event->time = Clock::now();
    return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
    if (!is_event(event)) return result(cudaErrorInvalidResourceHandle);
    return result(event->captured_in == nullptr ? cudaSuccess : cudaErrorCapturedEvent);
}

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t end) {
    for (const cudaEvent_t event : {start, end})
        if (!is_event(event) || !event->timed || !event->recorded) return result(cudaErrorInvalidResourceHandle);
    *milliseconds = std::chrono::duration<float, std::milli>(end->time - start->time).count();
    return cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) {
    if (stream == nullptr) return result(cudaErrorStreamCaptureUnsupported);
    if (!is_stream(stream)) return result(cudaErrorInvalidResourceHandle);
    if (stream->capture != nullptr) return result(cudaErrorIllegalState);
    stream->capture = std::make_unique<Capture>();
    stream->capture->mode = mode;
    return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
    *graph = nullptr;
    if (!is_stream(stream)) return result(cudaErrorInvalidResourceHandle);
    if (capture_of(stream) == nullptr) return result(cudaErrorIllegalState);
    const auto capture = std::move(stream->capture);
    if (!capture->valid) return result(cudaErrorStreamCaptureInvalidated);
    *graph = objects<CUgraph_st>().create({std::make_shared<const WorkList>(std::move(capture->work))});
    return cudaSuccess;
}

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
    if (!is_stream(stream)) return result(cudaErrorInvalidResourceHandle);
    const Capture* capture = capture_of(stream);
    *status = capture == nullptr ? cudaStreamCaptureStatusNone
              : capture->valid   ? cudaStreamCaptureStatusActive
                                 : cudaStreamCaptureStatusInvalidated;
    return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long) {
    if (!objects<CUgraph_st>().has(graph)) return result(cudaErrorInvalidValue);
    *exec = objects<CUgraphExec_st>().create({graph->work});
    return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
    if (!objects<CUgraphExec_st>().has(exec)) return result(cudaErrorInvalidValue);
    return emulation::enqueue(stream, [works = exec->work] {
        for (const emulation::Work& work : *works)
            if (const cudaError_t error = work(); error != cudaSuccess) return error;
        return cudaSuccess;
    });
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) { return objects<CUgraph_st>().destroy(graph); }
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) { return objects<CUgraphExec_st>().destroy(exec); }

}  // namespace lethe::emulated

namespace lethe::emulation {

using namespace emulated;

cudaError_t enqueue(cudaStream_t stream, Work work) {
    if (!is_stream(stream)) return result(cudaErrorInvalidResourceHandle);
    Capture* capture = capture_of(stream);
    if (capture == nullptr) {
        if (stream == nullptr && capture_forbids()) return result(cudaErrorStreamCaptureImplicit);
        return result(work());
    }
    if (!capture->valid) return result(cudaErrorStreamCaptureInvalidated);
    capture->work.push_back(std::move(work));
    return cudaSuccess;
}

bool capture_forbids() {
    bool forbidden = false;
    for (const auto& [handle, stream] : objects<CUstream_st>().all()) {
        if (stream->capture == nullptr || stream->capture->mode == cudaStreamCaptureModeRelaxed) continue;
        stream->capture->valid = false;
        forbidden = true;
    }
    return forbidden;
}

cudaError_t submit(cudaStream_t stream, Launch launch) {
    if (!valid_configuration(launch)) return result(cudaErrorInvalidConfiguration);
    return enqueue(stream, [launch = std::move(launch)] {
        run(launch);
        return cudaSuccess;
    });
}

}  // namespace lethe::emulation
