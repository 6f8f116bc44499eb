// Linked where the CUDA backend is not part of the build, so that asking for the GPU says what is missing.
#include "tensor/backend.h"
#include "tensor/error.h"

namespace lethe {

std::unique_ptr<Backend> make_cuda_backend() {
    fail("device cuda: this build of Lethe has no CUDA backend, because " LETHE_CUDA_MISSING
         "; build it where nvcc is, or use --device cpu");
}

}  // namespace lethe
