#include "tests/support/devices.h"

#include <cstdlib>

#include "cuda/emulation/order.h"

namespace lethe::test {

const std::string& gpu_problem() {
    static const std::string problem = [] {
        try {
            backend(Device::cuda);
            return std::string();
        } catch (const std::exception& error) {
            return std::string(error.what());
        }
    }();
    return problem;
}

std::vector<std::string> gpu_device_names() {
    std::vector<std::string> names{"emulated_seed1", "emulated_seed2"};
    if (gpu_problem().empty() || gpu_required()) names.emplace_back("cuda");
    return names;
}

std::vector<std::string> all_device_names() {
    std::vector<std::string> names{"cpu"};
    for (const std::string& name : gpu_device_names()) names.push_back(name);
    return names;
}

bool gpu_required() { return std::getenv("LETHE_REQUIRE_GPU") != nullptr; }

void DeviceTest::SetUp() {
    const std::string& name = GetParam();
    if (name == "cuda") {
        if (!gpu_problem().empty()) FAIL() << gpu_problem();
        backend_ = &backend(Device::cuda);
    } else if (name == "cpu") {
        backend_ = &backend(Device::cpu);
    } else {
        backend_ = &backend(Device::emulated);
        emulation::set_seed(name == "emulated_seed1" ? 1 : 2);
    }
    backend_->allocator().set_poison(true);
}

void DeviceTest::TearDown() {
    if (backend_ == nullptr) return;  // SetUp failed
    backend_->synchronize();
    backend_->allocator().set_poison(false);
}

}  // namespace lethe::test
