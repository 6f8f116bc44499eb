// The emulated CUDA runtime: memory, streams, events, captured graphs, and what it refuses.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "tests/emulation_device.h"
#include "tests/emulation_kernels.cuh"

namespace lethe::test {
namespace {

using namespace lethe::emulated;
using testing::HasSubstr;

using Floats = std::vector<float>;

// Every test begins and ends without a pending error, unless it says so.
class EmulatedRuntime : public testing::Test {
protected:
    EmulatedRuntime() { cudaGetLastError(); }
    ~EmulatedRuntime() override { EXPECT_EQ(cudaStreamDestroy(stream), cudaSuccess); }

    void add(float value, cudaStream_t to) {
        launch<axpy_kernel<float>>(1, 32, 0, to, value, ones.data(), y.data(), 2);
    }
    cudaGraph_t captured(cudaStreamCaptureMode mode = cudaStreamCaptureModeThreadLocal) {
        cudaGraph_t graph = nullptr;
        EXPECT_EQ(cudaStreamBeginCapture(stream, mode), cudaSuccess);
        add(1.0f, stream);
        add(10.0f, stream);
        EXPECT_EQ(cudaStreamEndCapture(stream, &graph), cudaSuccess);
        return graph;
    }

    cudaStream_t stream = [] {
        cudaStream_t created = nullptr;
        EXPECT_EQ(cudaStreamCreateWithFlags(&created, cudaStreamNonBlocking), cudaSuccess);
        return created;
    }();
    DeviceArray<float> ones{Floats{1.0f, 1.0f}}, y{Floats{0.0f, 0.0f}};
};

TEST_F(EmulatedRuntime, TheDevice) {
    int count = 0, device = -1, version = 0;
    EXPECT_EQ(cudaGetDeviceCount(&count), cudaSuccess);
    EXPECT_EQ(count, 1);
    EXPECT_EQ(cudaSetDevice(0), cudaSuccess);
    EXPECT_EQ(cudaGetDevice(&device), cudaSuccess);
    EXPECT_EQ(device, 0);
    EXPECT_EQ(cudaSetDevice(1), cudaErrorInvalidDevice);
    EXPECT_EQ(cudaRuntimeGetVersion(&version), cudaSuccess);
    EXPECT_GE(version, 12000);
    cudaDeviceProp properties;
    EXPECT_EQ(cudaGetDeviceProperties(&properties, 1), cudaErrorInvalidDevice);
    ASSERT_EQ(cudaGetDeviceProperties(&properties, 0), cudaSuccess);
    EXPECT_STREQ(properties.name, "emulated");
    EXPECT_EQ(properties.warpSize, 32);
    EXPECT_EQ(properties.maxThreadsPerBlock, 1024);
}

TEST_F(EmulatedRuntime, LastErrorIsKeptUntilItIsTaken) {
    EXPECT_EQ(cudaSetDevice(7), cudaErrorInvalidDevice);
    EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
    EXPECT_EQ(cudaPeekAtLastError(), cudaErrorInvalidDevice);
    EXPECT_EQ(cudaGetLastError(), cudaErrorInvalidDevice);
    EXPECT_EQ(cudaGetLastError(), cudaSuccess);
    EXPECT_STREQ(cudaGetErrorName(cudaErrorInvalidDevice), "cudaErrorInvalidDevice");
    EXPECT_STREQ(cudaGetErrorString(cudaErrorMemoryAllocation), "out of memory");
}

TEST_F(EmulatedRuntime, MemoryIsCountedAndFreshMemoryIsNaN) {
    std::size_t free_before = 0, free_after = 0, total = 0;
    ASSERT_EQ(cudaMemGetInfo(&free_before, &total), cudaSuccess);
    {
        const DeviceArray<float> fresh(std::size_t{100});
        ASSERT_EQ(cudaMemGetInfo(&free_after, &total), cudaSuccess);
        EXPECT_EQ(free_after, free_before - 400);
        for (const float value : fresh.values()) EXPECT_TRUE(std::isnan(value));
    }
    ASSERT_EQ(cudaMemGetInfo(&free_after, &total), cudaSuccess);
    EXPECT_EQ(free_after, free_before);

    void* memory = &total;
    EXPECT_EQ(cudaMalloc(&memory, total + 1), cudaErrorMemoryAllocation);
    EXPECT_EQ(cudaMalloc(&memory, 0), cudaSuccess);
    EXPECT_EQ(memory, nullptr);
    EXPECT_EQ(cudaFree(nullptr), cudaSuccess);
}

TEST_F(EmulatedRuntime, OnlyWhatIsAllocatedCanBeFreed) {
    float *device = nullptr, *pinned = nullptr;
    ASSERT_EQ(cudaMalloc(&device, 16), cudaSuccess);
    ASSERT_EQ(cudaMallocHost(&pinned, 16), cudaSuccess);
    EXPECT_EQ(cudaFree(device + 1), cudaErrorInvalidValue);
    EXPECT_EQ(cudaFree(pinned), cudaErrorInvalidValue);
    EXPECT_EQ(cudaFreeHost(device), cudaErrorInvalidValue);
    EXPECT_EQ(cudaFree(device), cudaSuccess);
    EXPECT_EQ(cudaFree(device), cudaErrorInvalidValue);
    EXPECT_EQ(cudaFreeHost(pinned), cudaSuccess);
}

TEST_F(EmulatedRuntime, CopiesMustStayInsideBuffersOfTheirKind) {
    Floats host(4, 3.0f);
    DeviceArray<float> a(Floats{1.0f, 2.0f, 3.0f, 4.0f}), b(std::size_t{4});
    const auto copy = [&](void* to, const void* from, std::size_t floats, cudaMemcpyKind kind) {
        return cudaMemcpyAsync(to, from, floats * sizeof(float), kind, stream);
    };
    EXPECT_EQ(copy(b.data(), a.data() + 1, 3, cudaMemcpyDeviceToDevice), cudaSuccess);
    EXPECT_EQ(copy(b.data() + 3, a.data(), 1, cudaMemcpyDefault), cudaSuccess);
    EXPECT_EQ(b.values(), (Floats{2.0f, 3.0f, 4.0f, 1.0f}));
    EXPECT_EQ(cudaMemset(b.data() + 1, 0, 8), cudaSuccess);
    EXPECT_EQ(copy(host.data(), b.data(), 3, cudaMemcpyDefault), cudaSuccess);
    EXPECT_EQ(host, (Floats{2.0f, 0.0f, 0.0f, 3.0f}));

    EXPECT_EQ(copy(b.data() + 1, a.data(), 4, cudaMemcpyDeviceToDevice), cudaErrorInvalidValue);
    EXPECT_EQ(copy(b.data() - 1, a.data(), 1, cudaMemcpyDeviceToDevice), cudaErrorInvalidValue);
    EXPECT_EQ(copy(b.data(), a.data(), 4, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
    EXPECT_EQ(copy(host.data(), host.data(), 4, cudaMemcpyDeviceToHost), cudaErrorInvalidValue);
    EXPECT_EQ(copy(host.data(), a.data(), 4, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
    EXPECT_EQ(copy(nullptr, a.data(), 4, cudaMemcpyDeviceToHost), cudaErrorInvalidValue);
    EXPECT_EQ(copy(nullptr, nullptr, 0, cudaMemcpyDeviceToHost), cudaSuccess);
    EXPECT_EQ(cudaMemset(host.data(), 0, 4), cudaErrorInvalidValue);
    EXPECT_EQ(cudaMemset(b.data(), 0, 17), cudaErrorInvalidValue);
    cudaGetLastError();
}

TEST_F(EmulatedRuntime, RedzonesTellWhatTheCpuWrote) {
    float *device = nullptr, *pinned = nullptr;
    ASSERT_EQ(cudaMalloc(&device, 16), cudaSuccess);
    ASSERT_EQ(cudaMallocHost(&pinned, 16), cudaSuccess);
    device[4] = 0.0f;
    EXPECT_EQ(error_of([&] { add(1.0f, stream); }), "the CPU wrote outside a device buffer of 16 bytes, at offset 16")
        << "the kernel must not be blamed";
    pinned[5] = 0.0f;
    EXPECT_THAT(error_of([] { cudaDeviceSynchronize(); }), HasSubstr("outside a pinned buffer of 16 bytes"));
    device[-1] = 0.0f;
    EXPECT_THAT(error_of([&] { cudaFree(device); }), HasSubstr("at offset -4"));
    EXPECT_EQ(cudaFreeHost(pinned), cudaSuccess);
}

TEST_F(EmulatedRuntime, Events) {
    cudaEvent_t start = nullptr, end = nullptr, untimed = nullptr;
    ASSERT_EQ(cudaEventCreate(&start), cudaSuccess);
    ASSERT_EQ(cudaEventCreate(&end), cudaSuccess);
    ASSERT_EQ(cudaEventCreateWithFlags(&untimed, cudaEventDisableTiming), cudaSuccess);
    float milliseconds = -1.0f;
    EXPECT_EQ(cudaEventElapsedTime(&milliseconds, start, end), cudaErrorInvalidResourceHandle) << "not recorded";
    EXPECT_EQ(cudaEventRecord(start, stream), cudaSuccess);
    add(1.0f, stream);
    for (const cudaEvent_t event : {end, untimed}) EXPECT_EQ(cudaEventRecord(event, stream), cudaSuccess);
    EXPECT_EQ(cudaEventSynchronize(end), cudaSuccess);
    EXPECT_EQ(cudaStreamWaitEvent(stream, end), cudaSuccess);
    EXPECT_EQ(cudaEventElapsedTime(&milliseconds, start, end), cudaSuccess);
    EXPECT_GT(milliseconds, 0.0f);
    EXPECT_EQ(cudaEventElapsedTime(&milliseconds, start, untimed), cudaErrorInvalidResourceHandle);
    for (const cudaEvent_t event : {start, end, untimed}) EXPECT_EQ(cudaEventDestroy(event), cudaSuccess);
    EXPECT_EQ(cudaEventDestroy(end), cudaErrorInvalidResourceHandle);
    EXPECT_EQ(cudaEventRecord(end, stream), cudaErrorInvalidResourceHandle);
}

TEST_F(EmulatedRuntime, DestroyedStreamsAreRefused) {
    cudaStream_t other = nullptr;
    ASSERT_EQ(cudaStreamCreate(&other), cudaSuccess);
    ASSERT_EQ(cudaStreamDestroy(other), cudaSuccess);
    EXPECT_EQ(cudaStreamDestroy(other), cudaErrorInvalidResourceHandle);
    EXPECT_EQ(cudaStreamDestroy(nullptr), cudaErrorInvalidResourceHandle);
    EXPECT_EQ(cudaStreamSynchronize(other), cudaErrorInvalidResourceHandle);
    EXPECT_THAT(error_of([&] { add(1.0f, other); }), HasSubstr("cannot launch axpy_kernel"));
    EXPECT_EQ(cudaStreamSynchronize(nullptr), cudaSuccess);
}

TEST_F(EmulatedRuntime, AGraphDoesNothingUntilItIsLaunched) {
    const cudaGraph_t graph = captured();
    EXPECT_EQ(y.values(), (Floats{0.0f, 0.0f}));
    cudaGraphExec_t exec = nullptr;
    ASSERT_EQ(cudaGraphInstantiate(&exec, graph), cudaSuccess);
    ASSERT_EQ(cudaGraphDestroy(graph), cudaSuccess);
    for (int i = 0; i < 3; ++i) EXPECT_EQ(cudaGraphLaunch(exec, stream), cudaSuccess);
    EXPECT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
    EXPECT_EQ(y.values(), (Floats{33.0f, 33.0f}));
    EXPECT_EQ(cudaGraphExecDestroy(exec), cudaSuccess);
    EXPECT_EQ(cudaGraphLaunch(exec, stream), cudaErrorInvalidValue);
    EXPECT_EQ(cudaGraphInstantiate(&exec, graph), cudaErrorInvalidValue);
}

TEST_F(EmulatedRuntime, AGraphReplaysCopiesInOrderOnTheDataOfTheMoment) {
    Floats in{5.0f, 6.0f}, out{0.0f, 0.0f};
    cudaGraph_t graph = nullptr;
    ASSERT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), cudaSuccess);
    EXPECT_EQ(cudaMemcpyAsync(y.data(), in.data(), 8, cudaMemcpyHostToDevice, stream), cudaSuccess);
    add(1.0f, stream);
    EXPECT_EQ(cudaMemcpyAsync(out.data(), y.data(), 8, cudaMemcpyDeviceToHost, stream), cudaSuccess);
    EXPECT_EQ(cudaMemsetAsync(y.data(), 0, 4, stream), cudaSuccess);
    ASSERT_EQ(cudaStreamEndCapture(stream, &graph), cudaSuccess);
    cudaGraphExec_t exec = nullptr;
    ASSERT_EQ(cudaGraphInstantiate(&exec, graph), cudaSuccess);
    for (const float value : {5.0f, 50.0f}) {
        in[0] = value;
        EXPECT_EQ(cudaGraphLaunch(exec, stream), cudaSuccess);
        EXPECT_EQ(out, (Floats{value + 1.0f, 7.0f}));
        EXPECT_EQ(y.values(), (Floats{0.0f, 7.0f}));
    }
    // A graph launched during a capture becomes part of it.
    cudaGraph_t outer = nullptr;
    ASSERT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), cudaSuccess);
    EXPECT_EQ(cudaGraphLaunch(exec, stream), cudaSuccess);
    add(2.0f, stream);
    ASSERT_EQ(cudaStreamEndCapture(stream, &outer), cudaSuccess);
    cudaGraphExec_t outer_exec = nullptr;
    ASSERT_EQ(cudaGraphInstantiate(&outer_exec, outer), cudaSuccess);
    EXPECT_EQ(cudaGraphLaunch(outer_exec, stream), cudaSuccess);
    EXPECT_EQ(y.values(), (Floats{2.0f, 9.0f}));
    for (const cudaGraphExec_t e : {exec, outer_exec}) EXPECT_EQ(cudaGraphExecDestroy(e), cudaSuccess);
    for (const cudaGraph_t g : {graph, outer}) EXPECT_EQ(cudaGraphDestroy(g), cudaSuccess);
}

TEST_F(EmulatedRuntime, AGraphReportsABufferThatIsGone) {
    float* gone = nullptr;
    ASSERT_EQ(cudaMalloc(&gone, 8), cudaSuccess);
    cudaGraph_t graph = nullptr;
    ASSERT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), cudaSuccess);
    EXPECT_EQ(cudaMemsetAsync(gone, 0, 8, stream), cudaSuccess);
    ASSERT_EQ(cudaStreamEndCapture(stream, &graph), cudaSuccess);
    cudaGraphExec_t exec = nullptr;
    ASSERT_EQ(cudaGraphInstantiate(&exec, graph), cudaSuccess);
    ASSERT_EQ(cudaFree(gone), cudaSuccess);
    EXPECT_EQ(cudaGraphLaunch(exec, stream), cudaErrorInvalidValue);
    EXPECT_EQ(cudaGraphExecDestroy(exec), cudaSuccess);
    EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
}

TEST_F(EmulatedRuntime, CaptureStatusAndMisuse) {
    cudaStreamCaptureStatus status{};
    cudaGraph_t graph = nullptr;
    EXPECT_EQ(cudaStreamEndCapture(stream, &graph), cudaErrorIllegalState);
    EXPECT_EQ(cudaStreamBeginCapture(nullptr, cudaStreamCaptureModeGlobal), cudaErrorStreamCaptureUnsupported);
    EXPECT_EQ(cudaStreamIsCapturing(stream, &status), cudaSuccess);
    EXPECT_EQ(status, cudaStreamCaptureStatusNone);

    ASSERT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed), cudaSuccess);
    EXPECT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed), cudaErrorIllegalState);
    EXPECT_EQ(cudaStreamIsCapturing(stream, &status), cudaSuccess);
    EXPECT_EQ(status, cudaStreamCaptureStatusActive);
    EXPECT_EQ(cudaStreamSynchronize(stream), cudaErrorStreamCaptureUnsupported);
    EXPECT_EQ(cudaStreamIsCapturing(stream, &status), cudaSuccess);
    EXPECT_EQ(status, cudaStreamCaptureStatusInvalidated);
    EXPECT_THAT(error_of([&] { add(1.0f, stream); }), HasSubstr("previous error during capture"));
    EXPECT_EQ(cudaStreamEndCapture(stream, &graph), cudaErrorStreamCaptureInvalidated);
    EXPECT_EQ(graph, nullptr);
    add(1.0f, stream);
    EXPECT_EQ(y.values(), (Floats{1.0f, 1.0f})) << "the stream must work again";
}

TEST_F(EmulatedRuntime, CallsThatSpoilACapture) {
    float* memory = nullptr;
    float value = 0.0f;
    const std::vector<std::function<cudaError_t()>> calls = {
        [&] { return cudaMalloc(&memory, 4); },
        [&] { return cudaMallocHost(&memory, 4); },
        [&] { return cudaFree(memory); },
        [] { return cudaDeviceSynchronize(); },
        [&] { return cudaMemcpy(&value, y.data(), 4, cudaMemcpyDeviceToHost); },
    };
    for (const auto& call : calls) {
        cudaGraph_t graph = nullptr;
        ASSERT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), cudaSuccess);
        const cudaError_t error = call();
        EXPECT_TRUE(error == cudaErrorStreamCaptureUnsupported || error == cudaErrorStreamCaptureImplicit) << error;
        EXPECT_EQ(cudaStreamEndCapture(stream, &graph), cudaErrorStreamCaptureInvalidated);
    }
    cudaGraph_t graph = nullptr;
    ASSERT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed), cudaSuccess);
    EXPECT_EQ(cudaMalloc(&memory, 4), cudaSuccess);
    EXPECT_EQ(cudaFree(memory), cudaSuccess);
    EXPECT_EQ(cudaStreamEndCapture(stream, &graph), cudaSuccess);
    EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
}

TEST_F(EmulatedRuntime, EventsDoNotCrossTheBorderOfACapture) {
    cudaStream_t other = nullptr;
    cudaEvent_t inside = nullptr, outside = nullptr;
    ASSERT_EQ(cudaStreamCreate(&other), cudaSuccess);
    for (cudaEvent_t* event : {&inside, &outside}) ASSERT_EQ(cudaEventCreate(event), cudaSuccess);
    ASSERT_EQ(cudaEventRecord(outside, other), cudaSuccess);
    ASSERT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), cudaSuccess);
    ASSERT_EQ(cudaEventRecord(inside, stream), cudaSuccess);
    EXPECT_EQ(cudaStreamWaitEvent(stream, inside), cudaSuccess);
    EXPECT_EQ(cudaStreamWaitEvent(other, inside), cudaErrorStreamCaptureIsolation);
    EXPECT_EQ(cudaStreamWaitEvent(stream, outside), cudaErrorStreamCaptureIsolation);
    EXPECT_EQ(cudaEventSynchronize(inside), cudaErrorCapturedEvent);
    cudaGraph_t graph = nullptr;
    EXPECT_EQ(cudaStreamEndCapture(stream, &graph), cudaSuccess);
    EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
    for (const cudaEvent_t event : {inside, outside}) EXPECT_EQ(cudaEventDestroy(event), cudaSuccess);
    EXPECT_EQ(cudaStreamDestroy(other), cudaSuccess);
}

}  // namespace
}  // namespace lethe::test
