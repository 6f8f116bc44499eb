// What the emulated runtime's files share.
#pragma once

#include <functional>

#include "cuda/emulation/runtime.h"

namespace lethe::emulation {

constexpr std::size_t max_shared_bytes = 232448;  // of a block, static and dynamic together

// Remembers `error` for cudaGetLastError and returns it.
emulated::cudaError_t result(emulated::cudaError_t error);

using Work = std::function<emulated::cudaError_t()>;

// Does the work now, or records it if the stream is being captured.
emulated::cudaError_t enqueue(emulated::cudaStream_t stream, Work work);

// For calls that no stream may be capturing during: true, and the captures are spoilt, if one is.
bool capture_forbids();

}  // namespace lethe::emulation
