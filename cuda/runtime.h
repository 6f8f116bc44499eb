// Checked calls and owning handles around the CUDA runtime.
#pragma once

#include <cstddef>
#include <source_location>
#include <utility>

#include "cuda/target.h"
#include "tensor/error.h"

namespace LETHE_CUDA {

// Throws Error with file, line and CUDA's text unless `status` is success.
void check_cuda(cudaError_t status, const char* what, std::source_location where = std::source_location::current());

// Owns one object of a C library and destroys it. Move-only; the destructor ignores the library's status, because there
// is nobody left who could act on it.
template <class T, auto destroy>
class Handle {
public:
    Handle() = default;
    explicit Handle(T value) : value_(value) {}
    ~Handle() {
        if (value_ != T{}) static_cast<void>(destroy(value_));
    }
    Handle(Handle&& other) noexcept : value_(std::exchange(other.value_, T{})) {}
    Handle& operator=(Handle&& other) noexcept {
        std::swap(value_, other.value_);
        return *this;
    }

    T get() const { return value_; }
    T* address() { return &value_; }  // for the library's create functions
    explicit operator bool() const { return value_ != T{}; }

private:
    T value_{};
};

using Event = Handle<cudaEvent_t, cudaEventDestroy>;
using Stream = Handle<cudaStream_t, cudaStreamDestroy>;
using Graph = Handle<cudaGraph_t, cudaGraphDestroy>;
using GraphExec = Handle<cudaGraphExec_t, cudaGraphExecDestroy>;
using PinnedMemory = Handle<void*, cudaFreeHost>;  // memory of the CPU that the GPU can copy from by itself

Stream make_stream();
Event make_event();
PinnedMemory make_pinned(std::size_t bytes);

}  // namespace LETHE_CUDA
