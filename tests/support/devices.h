// Tests of operations over every device: the CPU, the CUDA kernels under the emulator with two orders of threads, and a
// GPU where this build and this machine have one.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tensor/backend.h"
#include "tests/support/compare.h"

namespace lethe::test {

// Why there is no GPU to test on; empty where there is one.
const std::string& gpu_problem();
// LETHE_REQUIRE_GPU is set: without a GPU the tests on it fail.
bool gpu_required();

// "cpu", "emulated_seed1", "emulated_seed2" and, where there is a GPU or must be one, "cuda". One test (DeviceTests.
// RunOnAGpu) says when there is none, so that nobody takes the others' success for a GPU's.
std::vector<std::string> all_device_names();
// Those whose kernels are CUDA kernels.
std::vector<std::string> gpu_device_names();

// TEST_P(...) with INSTANTIATE_TEST_SUITE_P(Device, Name, all_devices(), device_name). Fresh memory holds NaN, so a
// kernel that reads what nobody wrote fails.
class DeviceTest : public testing::TestWithParam<std::string> {
protected:
    void SetUp() override;  // selects the device and the order of threads
    void TearDown() override;

    Backend& device() { return *backend_; }
    bool is_cpu() const { return backend_->device() == Device::cpu; }
    Tensor on(const Tensor& host) { return host.defined() ? host.to(backend_->device()) : Tensor(); }
    // Random contents: the same on the CPU and there.
    Tensor random(const Shape& shape, uint64_t seed, float scale = 1.0f) {
        return on(random_tensor(shape, seed, scale));
    }

private:
    Backend* backend_ = nullptr;
};

inline auto all_devices() { return testing::ValuesIn(all_device_names()); }
inline auto gpu_devices() { return testing::ValuesIn(gpu_device_names()); }
inline std::string device_name(const testing::TestParamInfo<std::string>& info) { return info.param; }

}  // namespace lethe::test
