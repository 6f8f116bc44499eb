// For the tests of the emulator: arrays on the emulated device, and what an error says.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "cuda/emulation/runtime.h"
#include "tensor/error.h"

namespace lethe::test {

template <class T>
class DeviceArray {
public:
    explicit DeviceArray(const std::vector<T>& values) : DeviceArray(values.size()) {
        EXPECT_EQ(emulated::cudaMemcpy(data_, values.data(), bytes(), emulated::cudaMemcpyHostToDevice), 0);
    }
    explicit DeviceArray(std::size_t size) : size_(size) { EXPECT_EQ(emulated::cudaMalloc(&data_, bytes()), 0); }
    ~DeviceArray() { EXPECT_EQ(emulated::cudaFree(data_), 0); }
    DeviceArray(const DeviceArray&) = delete;
    DeviceArray& operator=(const DeviceArray&) = delete;

    T* data() { return data_; }
    std::vector<T> values() const {
        std::vector<T> result(size_);
        EXPECT_EQ(emulated::cudaMemcpy(result.data(), data_, bytes(), emulated::cudaMemcpyDeviceToHost), 0);
        return result;
    }

private:
    std::size_t bytes() const { return size_ * sizeof(T); }

    std::size_t size_;
    T* data_ = nullptr;
};

// The text of the Error that f() throws.
template <class F>
std::string error_of(F&& f) {
    try {
        f();
    } catch (const Error& error) {
        return error.what();
    }
    return "no error";
}

}  // namespace lethe::test
