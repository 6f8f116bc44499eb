// The fuzz executables load files into the CPU's memory and compute nothing, so they are built without the devices.
#include <cstdio>
#include <cstdlib>

#include "tensor/backend.h"

namespace lethe {
namespace {

[[noreturn]] void no_device(const char* name) {
    std::fprintf(stderr, "a loader asks the device %s to compute\n", name);
    std::abort();
}

}  // namespace

std::unique_ptr<Backend> make_cpu_backend() { no_device("cpu"); }
std::unique_ptr<Backend> make_cuda_backend() { no_device("cuda"); }
std::unique_ptr<Backend> make_emulated_backend() { no_device("emulated"); }

}  // namespace lethe
