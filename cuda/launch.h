// launch<kernel>(grid, block, shared, stream, arguments...): the only place where kernels are started.
#pragma once

#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "cuda/target.h"
#include "tensor/error.h"

namespace LETHE_CUDA {

namespace detail {

// The kernel's name with its template arguments, without namespaces, as the compiler spells it in its name for this
// function: "... [with auto kernel = lethe::cuda::scale_kernel<float>; ...]" or "... [kernel = &...]".
template <auto kernel>
std::string kernel_name() {
    std::string_view name = __PRETTY_FUNCTION__;
    constexpr std::string_view key = "kernel = ";
    name.remove_prefix(name.find(key) + key.size());
    name = name.substr(0, name.find_first_of(";]"));
    const std::size_t scope = name.substr(0, name.find('<')).rfind("::");
    if (scope != std::string_view::npos) name.remove_prefix(scope + 2);
    return std::string(name);
}

template <auto kernel, class... Parameter>
cudaError_t start(dim3 grid, dim3 block, std::size_t shared, cudaStream_t stream, Parameter... arguments) {
#ifdef LETHE_EMULATED
    return emulation::submit(stream, {kernel_name<kernel>(), grid, block, shared, [=] { kernel(arguments...); }});
#else
    constexpr std::size_t shared_without_asking = 48 * 1024;
    if (shared > shared_without_asking) {
        const auto bytes = static_cast<int>(shared);
        const auto status = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
        if (status != cudaSuccess) return status;
    }
    cudaLaunchConfig_t config{};
    config.gridDim = grid;
    config.blockDim = block;
    config.dynamicSmemBytes = shared;
    config.stream = stream;
    return cudaLaunchKernelEx(&config, kernel, arguments...);
#endif
}

// Parameter types are the kernel's own: arguments are converted here, as in a function call.
template <auto kernel, class... Parameter>
void launch(void (*)(Parameter...), dim3 grid, dim3 block, std::size_t shared, cudaStream_t stream,
            std::type_identity_t<Parameter>... arguments) {
    if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;
    const cudaError_t status = start<kernel>(grid, block, shared, stream, arguments...);
    if (status == cudaSuccess) return;
    fail("cannot launch ", kernel_name<kernel>(), " on a grid of ", grid.x, "x", grid.y, "x", grid.z, " blocks of ",
         block.x, "x", block.y, "x", block.z, " threads with ", shared,
         " bytes of dynamic shared memory: ", cudaGetErrorString(status));
}

}  // namespace detail

// Runs `kernel` on the grid, after everything already in the stream. An empty grid is no launch. Throws Error with the
// kernel's name when the launch is refused.
template <auto kernel, class... Argument>
void launch(dim3 grid, dim3 block, std::size_t shared, cudaStream_t stream, Argument&&... arguments) {
    detail::launch<kernel>(kernel, grid, block, shared, stream, std::forward<Argument>(arguments)...);
}

}  // namespace LETHE_CUDA
