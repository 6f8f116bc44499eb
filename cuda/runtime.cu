#include "cuda/runtime.h"

namespace LETHE_CUDA {

void check_cuda(cudaError_t status, const char* what, std::source_location where) {
    if (status == cudaSuccess) return;
    fail("cuda: ", what, " failed at ", where.file_name(), ":", where.line(), ": ", cudaGetErrorString(status));
}

Stream make_stream() {
    Stream stream;
    check_cuda(cudaStreamCreateWithFlags(stream.address(), cudaStreamNonBlocking), "cudaStreamCreate");
    return stream;
}

Event make_event() {
    Event event;
    check_cuda(cudaEventCreateWithFlags(event.address(), cudaEventDisableTiming), "cudaEventCreate");
    return event;
}

PinnedMemory make_pinned(std::size_t bytes) {
    PinnedMemory memory;
    check_cuda(cudaMallocHost(memory.address(), bytes), "cudaMallocHost");
    return memory;
}

}  // namespace LETHE_CUDA
