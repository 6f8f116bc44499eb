#include "cuda/cudnn/library.h"

#include <cuda_runtime_api.h>
#include <dlfcn.h>

#include <cstdlib>

#include "tensor/error.h"

// Where NVIDIA's cudnn-frontend headers look functions up when NV_CUDNN_FRONTEND_USE_DYNAMIC_LOADING is defined.
namespace cudnn_frontend {
void* cudnn_dlhandle = nullptr;
}

namespace lethe::cuda {
namespace {

// The file that CMake found, which need not be where the loader looks: a Python environment's, say.
constexpr const char* configured = LETHE_CUDNN_LIBRARY;

// cuDNN opens and closes NVIDIA's run-time compiler for every engine that it considers, which takes most of the time of
// making a plan. Held open, it is opened once; where the loader does not find it here, cuDNN searches in its own ways.
void hold_run_time_compiler() { dlopen(concat("libnvrtc.so.", CUDART_VERSION / 1000).c_str(), RTLD_LAZY); }

std::string open_library() {
    // The frontend looks for a runtime library by itself, and would take an older one where both are.
    setenv("CUDNN_FRONTEND_CUDART_LIB_NAME", concat("libcudart.so.", CUDART_VERSION / 1000).c_str(), 0);
    for (const char* file : {"libcudnn.so.9", configured}) {
        cudnn_frontend::cudnn_dlhandle = dlopen(file, RTLD_NOW | RTLD_GLOBAL);
        if (cudnn_frontend::cudnn_dlhandle == nullptr) continue;
        hold_run_time_compiler();
        return "";
    }
    return concat("cuDNN 9 was not found: neither libcudnn.so.9 on the loader's path nor ", configured);
}

}  // namespace

const std::string& cudnn_problem() {
    static const std::string problem = open_library();
    return problem;
}

std::string cudnn_version() {
    check(cudnn_problem().empty(), cudnn_problem());
    void* address = dlsym(cudnn_frontend::cudnn_dlhandle, "cudnnGetVersion");
    check(address != nullptr, "cuDNN: the library has no cudnnGetVersion");
    const std::size_t version = reinterpret_cast<decltype(&cudnnGetVersion)>(address)();
    return concat(version / 10000, ".", version / 100 % 100, ".", version % 100);
}

}  // namespace lethe::cuda
