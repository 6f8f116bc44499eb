// Errors, the device and its memory. Streams, events and graphs are in streams.cpp.
#include "cuda/emulation/runtime.h"

#include <cstring>

#include "cuda/emulation/memory.h"
#include "cuda/emulation/streams.h"

namespace lethe::emulation {

using namespace emulated;

namespace {

thread_local cudaError_t last_error = cudaSuccess;

struct ErrorText {
    cudaError_t error;
    const char *name, *text;
};
#define LETHE_ERROR(name, text) \
    { name, #name, text }
constexpr ErrorText error_texts[] = {
    LETHE_ERROR(cudaSuccess, "no error"),
    LETHE_ERROR(cudaErrorInvalidValue, "invalid argument"),
    LETHE_ERROR(cudaErrorMemoryAllocation, "out of memory"),
    LETHE_ERROR(cudaErrorInvalidConfiguration, "invalid configuration argument"),
    LETHE_ERROR(cudaErrorInvalidDevice, "invalid device ordinal"),
    LETHE_ERROR(cudaErrorInvalidResourceHandle, "invalid resource handle"),
    LETHE_ERROR(cudaErrorIllegalState, "the operation cannot be performed in the present state"),
    LETHE_ERROR(cudaErrorStreamCaptureUnsupported, "operation not permitted when stream is capturing"),
    LETHE_ERROR(cudaErrorStreamCaptureInvalidated, "operation failed due to a previous error during capture"),
    LETHE_ERROR(cudaErrorStreamCaptureIsolation, "dependency created on uncaptured work in another stream"),
    LETHE_ERROR(cudaErrorStreamCaptureImplicit, "operation would depend on a capturing stream"),
    LETHE_ERROR(cudaErrorCapturedEvent, "operation not permitted on an event last recorded in a capturing stream"),
};
#undef LETHE_ERROR

const ErrorText& find(cudaError_t error) {
    for (const ErrorText& entry : error_texts)
        if (entry.error == error) return entry;
    static constexpr ErrorText unknown = {cudaErrorInvalidValue, "cudaErrorUnknown", "unknown error"};
    return unknown;
}

}  // namespace

cudaError_t result(cudaError_t error) {
    if (error != cudaSuccess) last_error = error;
    return error;
}

bool may_copy(const void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
    const auto fits = [&](const void* address, bool device) {
        return device ? device_memory().contains(address, bytes) : !device_memory().touches(address);
    };
    if (bytes == 0) return true;
    if (to == nullptr || from == nullptr) return false;
    const bool any = kind == cudaMemcpyDefault;
    const bool from_device = any ? device_memory().touches(from) : kind >= cudaMemcpyDeviceToHost;
    const bool to_device = any ? device_memory().touches(to) : kind % 2 == 1;
    return fits(from, from_device) && fits(to, to_device);
}

}  // namespace lethe::emulation

namespace lethe::emulated {

using emulation::device_memory;
using emulation::may_copy;
using emulation::pinned_memory;
using emulation::result;

const char* cudaGetErrorString(cudaError_t error) { return emulation::find(error).text; }
const char* cudaGetErrorName(cudaError_t error) { return emulation::find(error).name; }
cudaError_t cudaPeekAtLastError() { return emulation::last_error; }
cudaError_t cudaGetLastError() { return std::exchange(emulation::last_error, cudaSuccess); }

cudaError_t cudaGetDeviceCount(int* count) {
    *count = 1;
    return cudaSuccess;
}
cudaError_t cudaGetDevice(int* device) {
    *device = 0;
    return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) { return result(device == 0 ? cudaSuccess : cudaErrorInvalidDevice); }

cudaError_t cudaRuntimeGetVersion(int* version) {
    *version = 13000;
    return cudaSuccess;
}

// Limits of compute capability 9.0; few multiprocessors, so that grids sized by them stay small.
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
    if (device != 0) return result(cudaErrorInvalidDevice);
    *properties = {.name = "emulated",
                   .totalGlobalMem = device_memory().capacity(),
                   .sharedMemPerBlock = 48 * 1024,
                   .sharedMemPerBlockOptin = emulation::max_shared_bytes,
                   .sharedMemPerMultiprocessor = emulation::max_shared_bytes + 1024,
                   .regsPerBlock = 65536,
                   .warpSize = 32,
                   .maxThreadsPerBlock = 1024,
                   .maxThreadsDim = {1024, 1024, 64},
                   .maxGridSize = {0x7fffffff, 65535, 65535},
                   .major = 9,
                   .minor = 0,
                   .multiProcessorCount = 4,
                   .maxThreadsPerMultiProcessor = 2048,
                   .l2CacheSize = 1 << 20};
    return cudaSuccess;
}

cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total) {
    *total = device_memory().capacity();
    *free = *total - device_memory().used();
    return cudaSuccess;
}

cudaError_t cudaDeviceSynchronize() {
    if (emulation::capture_forbids()) return result(cudaErrorStreamCaptureUnsupported);
    device_memory().verify("the CPU");
    pinned_memory().verify("the CPU");
    return cudaSuccess;
}

namespace {

cudaError_t allocate(emulation::Memory& from, void** memory, std::size_t bytes) {
    if (emulation::capture_forbids()) return result(cudaErrorStreamCaptureUnsupported);
    if (memory == nullptr) return result(cudaErrorInvalidValue);
    *memory = bytes == 0 ? nullptr : from.allocate(bytes);
    return result(bytes != 0 && *memory == nullptr ? cudaErrorMemoryAllocation : cudaSuccess);
}

cudaError_t release(emulation::Memory& from, void* memory) {
    if (emulation::capture_forbids()) return result(cudaErrorStreamCaptureUnsupported);
    return result(memory == nullptr || from.release(memory) ? cudaSuccess : cudaErrorInvalidValue);
}

}  // namespace

cudaError_t cudaMalloc(void** memory, std::size_t bytes) { return allocate(device_memory(), memory, bytes); }
cudaError_t cudaFree(void* memory) { return release(device_memory(), memory); }
cudaError_t cudaMallocHost(void** memory, std::size_t bytes) { return allocate(pinned_memory(), memory, bytes); }
cudaError_t cudaFreeHost(void* memory) { return release(pinned_memory(), memory); }

cudaError_t cudaMemcpy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
    return cudaMemcpyAsync(to, from, bytes, kind);
}
cudaError_t cudaMemset(void* to, int value, std::size_t bytes) { return cudaMemsetAsync(to, value, bytes); }

// The ranges are looked up when the copy is made: a captured copy may outlive its buffers.
cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
    return emulation::enqueue(stream, [=] {
        if (!may_copy(to, from, bytes, kind)) return cudaErrorInvalidValue;
        if (bytes != 0) std::memmove(to, from, bytes);
        return cudaSuccess;
    });
}

cudaError_t cudaMemsetAsync(void* to, int value, std::size_t bytes, cudaStream_t stream) {
    return emulation::enqueue(stream, [=] {
        if (bytes != 0 && !device_memory().contains(to, bytes)) return cudaErrorInvalidValue;
        if (bytes != 0) std::memset(to, value, bytes);
        return cudaSuccess;
    });
}

}  // namespace lethe::emulated
