#include "cpu/backend.h"

#include <dnnl.h>

#include "tensor/error.h"
#include "tensor/parallel.h"

namespace lethe {

std::string CpuBackend::description() const {
    const dnnl_version_t& version = *dnnl_version();
    return concat("CPU, ", kernels_.isa, " kernels, oneDNN ", version.major, ".", version.minor, ".", version.patch,
                  ", ", threads(), threads() == 1 ? " thread" : " threads");
}

std::unique_ptr<Backend> make_cpu_backend() { return std::make_unique<CpuBackend>(); }

}  // namespace lethe
