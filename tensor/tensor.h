// Tensor: a typed block of memory with a shape.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tensor/shape.h"

namespace lethe {

// bfloat16 is a storage type for activations on a GPU; its arithmetic is float32.
enum class DType { float32, int64, bfloat16 };
// emulated: the CUDA kernels, run on the CPU one thread after the other (docs/emulator.md).
enum class Device { cpu, cuda, emulated };

const char* name(DType dtype);
const char* name(Device device);
// The device called "cpu", "cuda" or "emulated"; throws Error for other names.
Device device_named(const std::string& name);
std::size_t size_of(DType dtype);  // bytes per element

// Owns the memory of one tensor or of several that share it. `version` counts the times somebody asked to write:
// whatever is derived from the contents (packed weights, say) is keyed by (id, version).
struct Storage {
    Storage(std::size_t bytes, Device device);
    ~Storage();
    Storage(const Storage&) = delete;
    Storage& operator=(const Storage&) = delete;

    void* data;
    std::size_t bytes;
    Device device;
    uint64_t id;  // unique in this process, never reused
    std::atomic<uint64_t> version{0};
};

// A handle: copying a Tensor copies the handle, clone() copies the contents.
//
// Dimensions are logical, in PyTorch's order. Memory is always contiguous, and **a tensor of four dimensions is
// stored channels-last**: [N,C,H,W] lies in memory as N,H,W,C, and weights [K,C,R,S] as K,R,S,C. Everything of
// fewer dimensions is stored as written. to_nchw() and from_nchw() convert at the edges (files, goldens).
class Tensor {
public:
    Tensor() = default;  // undefined: defined() is false and every accessor throws Error

    static Tensor empty(const Shape& shape, DType dtype = DType::float32, Device device = Device::cpu);
    static Tensor zeros(const Shape& shape, DType dtype = DType::float32, Device device = Device::cpu);
    static Tensor full(const Shape& shape, float value, Device device = Device::cpu);
    // On the CPU. `values` in logical (row-major NCHW) order; throws Error unless there are shape.numel() of them.
    static Tensor from_nchw(const Shape& shape, std::span<const float> values);
    static Tensor from_int64(const Shape& shape, std::span<const int64_t> values);

    bool defined() const { return storage_ != nullptr; }
    const Shape& shape() const { return shape_; }
    int64_t dim(int axis) const { return shape_[axis]; }
    int rank() const { return shape_.rank(); }
    int64_t numel() const { return shape_.numel(); }
    DType dtype() const { return dtype_; }
    Device device() const;

    // Contents in storage order (channels-last for four dimensions), for code that runs on the CPU. mutable_*()
    // announces a write: it raises the storage's version. Throws Error on an undefined tensor, another dtype or a
    // tensor in another device's memory.
    const float* data() const;
    float* mutable_data();
    const int64_t* int64_data() const;
    int64_t* mutable_int64_data();
    std::span<const float> values() const { return {data(), static_cast<std::size_t>(numel())}; }
    std::span<const int64_t> int64_values() const { return {int64_data(), static_cast<std::size_t>(numel())}; }

    // The address in the device's own memory, for that device's backend. Any dtype.
    const void* device_data() const;
    void* mutable_device_data();

    // The same contents on `device`: this handle when they are there already, otherwise a copy, for which the CPU
    // waits.
    Tensor to(Device device) const;
    Tensor cpu() const { return to(Device::cpu); }

    // Contents in logical order, from any device.
    std::vector<float> to_nchw() const;

    // The value of a tensor with one element, from any device.
    float item() const;

    // Rows [begin, end) of the first dimension, sharing memory.
    Tensor rows(int64_t begin, int64_t end) const;
    // The same memory under another shape with as many elements. Throws Error where the channels-last order of four
    // dimensions would make the result differ from a logical reshape (H*W > 1 and C > 1).
    Tensor reshape(const Shape& shape) const;
    // [N,C,H,W] as the matrix [N*H*W, C] that it is in memory, sharing it.
    Tensor pixel_rows() const;
    // Rows [M,F] or [N,T,F] as the matrix [rows, F], sharing memory; and [N,T,F] as the images [N,F,1,T] that have the
    // rows for pixels.
    Tensor as_matrix() const;
    Tensor rows_as_pixels() const;
    Tensor clone() const;
    // Copies contents from a tensor of the same shape and dtype, on any device.
    void copy_from(const Tensor& source);
    void fill(float value);

    const std::shared_ptr<Storage>& storage() const { return storage_; }
    uint64_t version() const { return storage_->version.load(std::memory_order_relaxed); }
    // True when no other handle shares this memory, so it may be overwritten in place.
    bool unique() const { return storage_ != nullptr && storage_.use_count() == 1; }

private:
    void* host(DType expected, const char* what) const;

    std::shared_ptr<Storage> storage_;
    std::size_t offset_ = 0;  // elements
    Shape shape_;
    DType dtype_ = DType::float32;
};

// Parameters and buffers by name, in a model's order. The currency between weight files and models.
using StateDict = std::vector<std::pair<std::string, Tensor>>;

}  // namespace lethe
