#include "tests/support/devices.h"

#include <cstdlib>

#include "cuda/emulation/order.h"
#include "tensor/error.h"

namespace lethe::test {

std::vector<std::string> gpu_device_names() { return {"emulated_seed1", "emulated_seed2", "cuda"}; }

std::vector<std::string> all_device_names() {
    std::vector<std::string> names = gpu_device_names();
    names.insert(names.begin(), "cpu");
    return names;
}

void DeviceTest::SetUp() {
    const std::string& name = GetParam();
    if (name == "cuda") {
        try {
            backend_ = &backend(Device::cuda);
        } catch (const Error& error) {
            if (std::getenv("LETHE_REQUIRE_GPU") != nullptr) FAIL() << error.what();
            GTEST_SKIP() << error.what();
        }
    } else if (name == "cpu") {
        backend_ = &backend(Device::cpu);
    } else {
        backend_ = &backend(Device::emulated);
        emulation::set_seed(name == "emulated_seed1" ? 1 : 2);
    }
    backend_->allocator().set_poison(true);
}

void DeviceTest::TearDown() {
    if (backend_ == nullptr) return;
    backend_->synchronize();
    backend_->allocator().set_poison(false);
}

}  // namespace lethe::test
